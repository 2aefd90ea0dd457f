#include "tenancy/entry.h"

#include <algorithm>

#include "base/json.h"
#include "tenancy/key_text.h"

namespace agentrouter::tenancy {

namespace {

using base::Code;
using base::Result;

base::Error workspace_required() {
  return {Code::invalid, "This key opens several workspaces: name one in the header x-workspace-id",
          "workspace_required", R"({"header":"x-workspace-id"})"};
}

}  // namespace

Caller Caller::of_server(std::string key) {
  return {std::move(key), {}, {Scope::admin}, false};
}

bool Caller::has(Scope scope) const {
  return std::ranges::any_of(scopes, [&](Scope own) { return own == scope || own == Scope::admin; });
}

bool Caller::opens(std::string_view workspace) const {
  return workspaces.empty() || std::ranges::find(workspaces, workspace) != workspaces.end();
}

Result<Caller> caller_of(store::Reader& reader, std::string_view key, base::Time now) {
  const auto found = reader.api_key_by_hash(hash_of_key(key));
  if (!found || !found->holds(now)) return tl::unexpected(unauthorized());
  Caller caller{found->id, found->workspaces, {}, true};
  for (const auto& name : found->scopes) {
    if (const auto scope = parse_scope(name)) caller.scopes.push_back(*scope);
  }
  return caller;
}

Result<std::string> workspace_for(store::Reader& reader, const Caller& caller, const std::string& wanted) {
  if (wanted.empty() && !caller.is_stored) return std::string(model::default_workspace);
  if (wanted.empty() && caller.workspaces.size() != 1) return tl::unexpected(workspace_required());
  const auto& id = wanted.empty() ? caller.workspaces.front() : wanted;
  // What the key does not open is not looked for: it takes no longer if it is there.
  const auto found = caller.opens(id) ? reader.workspace(id) : std::nullopt;
  if (!found || found->disabled) return tl::unexpected(workspace_unknown(id));
  return id;
}

Result<void> check_again(store::Reader& reader, const Caller& caller, const std::string& workspace,
                         base::Time now) {
  if (caller.is_stored) {
    const auto key = reader.api_key(caller.key);
    if (!key || !key->holds(now)) return tl::unexpected(unauthorized());
  }
  // The default one is never disabled.
  if (workspace.empty() || workspace == model::default_workspace) return {};
  const auto found = reader.workspace(workspace);
  if (!found || found->disabled) return tl::unexpected(workspace_unknown(workspace));
  return {};
}

Result<Caller> where_open(store::Reader& reader, const Caller& caller) {
  if (caller.opens_all()) return caller;
  auto open = caller;
  std::erase_if(open.workspaces, [&](const std::string& id) {
    const auto found = reader.workspace(id);
    return !found || found->disabled;
  });
  // None left is not none listed, which would be every one.
  if (open.workspaces.empty()) return tl::unexpected(workspace_unknown(caller.workspaces.front()));
  return open;
}

Result<void> check_scope(const Caller& caller, const std::vector<Scope>& any_of) {
  if (std::ranges::any_of(any_of, [&](Scope scope) { return caller.has(scope); })) return {};
  json::array own;
  for (const auto scope : caller.scopes) own.emplace_back(to_string(scope));
  const std::string needed(to_string(any_of.front()));
  return base::fail(Code::denied, "This needs a key with the scope " + needed, "forbidden_scope",
                    base::to_text(json::object{{"needed", needed}, {"scopes", std::move(own)}}));
}

base::Error unauthorized() {
  return {Code::denied, "Missing or invalid API key: send \"Authorization: Bearer <AGENTROUTER_API_KEY>\"",
          "unauthorized", "{}"};
}

base::Error workspace_unknown(std::string_view id) {
  return {Code::not_found, "There is no workspace " + std::string(id) + " that this key opens",
          "workspace_unknown"};
}

}  // namespace agentrouter::tenancy
