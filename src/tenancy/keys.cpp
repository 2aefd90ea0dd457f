#include "tenancy/keys.h"

#include <algorithm>

#include "base/json.h"
#include "runs/audit.h"
#include "tenancy/key_text.h"
#include "tenancy/workspaces.h"

namespace agentrouter::tenancy {

namespace {

using base::Code;
using base::Result;
using store::ApiKey;

bool may_manage(const Caller& caller, const ApiKey& key) {
  if (key.workspaces.empty()) return caller.opens_all();
  return std::ranges::all_of(key.workspaces, [&](const auto& one) { return caller.opens(one); });
}

base::Error conflict(std::string message, std::string reason) {
  return {Code::conflict, std::move(message), std::move(reason)};
}

json::array names_of(const std::vector<std::string>& names) {
  return json::array(names.begin(), names.end());
}

// One that opens every workspace is told of in the default one.
void audit_key(store::Transaction& tx, const ApiKey& key, std::string_view type, const Caller& caller,
               base::Time now) {
  json::object about{{"keyId", key.id},
                     {"name", key.name},
                     {"workspaces", names_of(key.workspaces)},
                     {"scopes", names_of(key.scopes)}};
  if (key.expires_at) about["expiresAt"] = base::to_iso(*key.expires_at);
  if (!key.replaced_by.empty()) about["replacedBy"] = key.replaced_by;
  auto chains = key.workspaces;
  if (chains.empty()) chains.emplace_back(model::default_workspace);
  for (const auto& workspace : chains) runs::audit_access(tx, {workspace, type, caller.key, about, now});
}

MadeKey new_key(store::Transaction& tx, const Caller& caller, runs::Context context) {
  MadeKey made;
  do {
    made.text = new_key_text(context.entropy);
    made.key.hash = hash_of_key(made.text);
    made.key.id = id_of_key(made.key.hash);
  } while (tx.api_key(made.key.id));
  made.key.prefix = shown_of_key(made.text);
  made.key.created_by = caller.key;
  made.key.created_at = context.clock.now();
  return made;
}

Result<void> check_workspaces(store::Reader& reader, const Caller& caller, const NewKey& request) {
  if (request.workspaces.empty()) return check_opens_all(caller);
  for (const auto& id : request.workspaces) {
    if (!caller.opens(id) || !reader.workspace(id)) return tl::unexpected(workspace_unknown(id));
  }
  return {};
}

Result<void> check_time(const NewKey& request, base::Time now) {
  if (!request.expires_at || *request.expires_at > now) return {};
  return base::fail(
      Code::invalid, "expiresAt has passed", "validation_error",
      R"({"issues":[{"code":"custom","path":["expiresAt"],"message":"Invalid time: it has passed"}]})");
}

}  // namespace

Result<MadeKey> make_key(store::Transaction& tx, const Caller& caller, const NewKey& request,
                         runs::Context context) {
  if (auto may = check_workspaces(tx, caller, request); !may) return tl::unexpected(may.error());
  if (auto ahead = check_time(request, context.clock.now()); !ahead) return tl::unexpected(ahead.error());
  auto made = new_key(tx, caller, context);
  made.key.name = request.name;
  made.key.workspaces = request.workspaces;
  for (const auto scope : request.scopes) made.key.scopes.emplace_back(to_string(scope));
  made.key.expires_at = request.expires_at;
  tx.put_api_key(made.key);
  audit_key(tx, made.key, "key.created", caller, made.key.created_at);
  return made;
}

Result<ApiKey> find_key(store::Reader& reader, const Caller& caller, std::string_view id) {
  auto key = reader.api_key(id);
  if (key && may_manage(caller, *key)) return std::move(*key);
  return base::fail(Code::not_found, "There is no key " + std::string(id), "key_not_found");
}

Result<ApiKey> revoke_key(store::Transaction& tx, const Caller& caller, std::string_view id,
                          runs::Context context) {
  AGENTROUTER_TRY(auto key, find_key(tx, caller, id));
  if (key.revoked_at) return key;
  key.revoked_at = context.clock.now();
  tx.put_api_key(key);
  audit_key(tx, key, "key.revoked", caller, *key.revoked_at);
  return key;
}

Result<MadeKey> rotate_key(store::Transaction& tx, const Caller& caller, std::string_view id,
                           std::chrono::seconds overlap, runs::Context context) {
  AGENTROUTER_TRY(auto old, find_key(tx, caller, id));
  const auto now = context.clock.now();
  if (!old.replaced_by.empty())
    return tl::unexpected(conflict("Key " + old.id + " was replaced by " + old.replaced_by, "key_replaced"));
  if (!old.holds(now))
    return tl::unexpected(conflict("Key " + old.id + " holds no longer", "key_not_active"));
  auto made = new_key(tx, caller, context);
  made.key.name = old.name;
  made.key.workspaces = old.workspaces;
  made.key.scopes = old.scopes;
  made.key.expires_at = old.expires_at;
  tx.put_api_key(made.key);
  const auto end = now + overlap;
  old.expires_at = old.expires_at ? std::min<base::Time>(*old.expires_at, end) : end;
  old.replaced_by = made.key.id;
  tx.put_api_key(old);
  audit_key(tx, old, "key.rotated", caller, now);
  return made;
}

Result<KeyPage> list_keys(store::Reader& reader, const Caller& caller, std::string_view after, int limit) {
  constexpr int looked_at = 500;
  std::int64_t behind = 0;
  if (!after.empty()) {
    AGENTROUTER_TRY(const auto last, find_key(reader, caller, after));
    behind = last.number;
  }
  KeyPage page;
  for (;;) {
    auto keys = reader.api_keys(behind, looked_at);
    for (auto& key : keys) {
      behind = key.number;
      if (!may_manage(caller, key)) continue;
      if (static_cast<int>(page.items.size()) == limit) {
        page.next = page.items.back().id;
        return page;
      }
      page.items.push_back(std::move(key));
    }
    if (static_cast<int>(keys.size()) < looked_at) return page;
  }
}

std::string to_wire(const ApiKey& key, base::Time now, std::string_view text) {
  json::object object{{"id", key.id},
                      {"name", key.name},
                      {"prefix", key.prefix},
                      {"workspaces", names_of(key.workspaces)},
                      {"scopes", names_of(key.scopes)},
                      {"active", key.holds(now)},
                      {"createdBy", key.created_by},
                      {"createdAt", base::to_iso(key.created_at)}};
  if (key.workspaces.empty()) object["workspaces"] = "*";
  const auto time = [&](std::string_view name, const std::optional<base::Time>& at) {
    if (at) object[name] = base::to_iso(*at);
  };
  time("expiresAt", key.expires_at);
  time("lastUsedAt", key.last_used_at);
  time("revokedAt", key.revoked_at);
  if (!key.replaced_by.empty()) object["replacedBy"] = key.replaced_by;
  if (!text.empty()) object["key"] = text;
  return base::to_text(object);
}

}  // namespace agentrouter::tenancy
