#include "api/auth.h"

#include "api/call.h"
#include "base/utf8.h"
#include "tenancy/key_text.h"
#include "tenancy/workspaces.h"

namespace agentrouter::api {

namespace {

constexpr std::string_view workspace_header = "X-Workspace-Id";
constexpr std::chrono::minutes use_is_told_every{1};
constexpr std::size_t most_remembered_keys = 10'000;

// Empty for none. Errors: invalid (validation_error: more than one), not_found (workspace_unknown: it can be
// none).
base::Result<std::string> wanted_workspace(const net::Headers& headers) {
  if (headers.count(workspace_header) > 1) {
    Issues issues;
    const json::value several = json::array();
    issues.wrong_type({std::string(workspace_header)}, "string", &several);
    return tl::unexpected(issues.to_error());
  }
  auto wanted = base::trim_js(headers.get(workspace_header));
  if (!wanted.empty() && !tenancy::is_workspace_id(wanted))
    return tl::unexpected(tenancy::workspace_unknown(base::to_utf8(wanted)));
  return std::string(wanted);
}

struct Opened {
  tenancy::Caller caller;
  base::Result<std::string> place;
  base::Result<void> open = {};

  void keep_to_open(store::Reader& reader) {
    auto kept = tenancy::where_open(reader, caller);
    if (!kept) open = tl::unexpected(kept.error());
    if (kept) caller = std::move(*kept);
  }
};

}  // namespace

base::Result<std::string> Authenticator::key_in(const net::Headers& headers) {
  static constexpr std::string_view scheme = "Bearer ";
  const auto authorization = headers.get("Authorization");
  if (headers.count("Authorization") == 1 && authorization.starts_with(scheme)) {
    const auto key = base::trim_js(authorization.substr(scheme.size()));
    if (!key.empty()) return std::string(key);
  }
  return tl::unexpected(tenancy::unauthorized());
}

bool Authenticator::is_own(std::string_view key) const {
  return base::equal_in_constant_time(base::Sha256::hex_of(key), digest_);
}

base::Task<base::Result<void>> Api::identify(Call& call) {
  const auto& headers = call.request().headers;
  const auto key = Authenticator::key_in(headers);
  if (!key) co_return tl::unexpected(key.error());
  const auto wanted = wanted_workspace(headers);
  const std::string none;
  const auto& workspace = wanted ? *wanted : none;
  const bool own = authenticator_.is_own(*key);
  if (own) call.caller = tenancy::Caller::of_server(authenticator_.key_name());
  call.place = std::string(model::default_workspace);
  if (!own && !tenancy::is_key_text(*key)) co_return tl::unexpected(tenancy::unauthorized());
  // The server's own key opens the default workspace without a look at the store, as ever.
  if (!own || (!workspace.empty() && workspace != model::default_workspace)) {
    const auto& stored = own ? none : *key;
    auto found = co_await look_up_key(call, stored, workspace);
    if (!found) co_return tl::unexpected(found.error());
  }
  if (!wanted) call.place = tl::unexpected(wanted.error());
  co_return base::Result<void>{};
}

// `key` is empty for the server's own. One read for all: a key that was revoked opens nothing from that
// commit on.
base::Task<base::Result<void>> Api::look_up_key(Call& call, const std::string& key,
                                                const std::string& wanted) {
  const auto now = needs_.clock.now();
  const auto look = [&](store::Reader& reader) -> base::Result<Opened> {
    Opened opened{call.caller, std::string()};
    if (!key.empty()) {
      AGENTROUTER_TRY(opened.caller, tenancy::caller_of(reader, key, now));
    }
    opened.place = tenancy::workspace_for(reader, opened.caller, wanted);
    if (call.about_keys) opened.keep_to_open(reader);
    return opened;
  };
  std::optional<base::Result<Opened>> opened;
  try {
    opened = co_await needs_.store.read([&look](store::Reader& reader) { return look(reader); });
  } catch (const base::Failure& failure) {
    opened = tl::unexpected(failure.error());
  }
  if (!*opened) co_return tl::unexpected(opened->error());
  call.caller = std::move((*opened)->caller);
  call.place = std::move((*opened)->place);
  call.open = std::move((*opened)->open);
  if (call.caller.is_stored) note_use(call.caller.key);
  co_return base::Result<void>{};
}

void Api::check_again(store::Reader& reader, const Call& call) const {
  base::value_or_throw(tenancy::check_again(reader, call.caller, call.workspace, needs_.clock.now()));
}

base::Task<void> Api::check_again(const Call& call) {
  co_await needs_.store.read([this, &call](store::Reader& reader) { check_again(reader, call); });
}

void Api::note_use(const std::string& key) {
  const auto now = needs_.clock.now();
  const auto told = used_.find(key);
  if (told != used_.end() && now - told->second < use_is_told_every) return;
  if (used_.size() >= most_remembered_keys) used_.clear();
  used_[key] = now;
  options_.on_key_used(key, now);
}

}  // namespace agentrouter::api
