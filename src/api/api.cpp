#include "api/api.h"

#include <algorithm>

#include "api/call.h"
#include "base/counted.h"
#include "base/utf8.h"
#include "tenancy/workspaces.h"

namespace agentrouter::api {

// What a caller needs. `questions` is for whoever reads or decides; `keys` is `admin` of no workspace in
// particular, `server` of every one.
enum class Access { open, read, write, decide, questions, admin, keys, server };

// A path is a list of segments; "{run}", "{item}" and "{part}" stand for any one segment that is not empty,
// "{path}" at the end for one or more.
struct Api::RouteEntry {
  std::string_view method;
  std::vector<std::string_view> path;
  Route route;
  Access access;
  Demand demand = Demand::usual;
};

const std::vector<Api::RouteEntry>& Api::routes() {
  static const std::vector<RouteEntry> table{
      {"GET", {"healthz"}, &Api::health, Access::open},
      {"GET", {"readyz"}, &Api::ready, Access::open},
      {"GET", {"openapi.json"}, &Api::openapi, Access::open},
      {"POST", {"v1", "uploads"}, &Api::upload, Access::write, Demand::more},
      {"GET", {"v1", "runs"}, &Api::list_runs, Access::read},
      {"POST", {"v1", "runs"}, &Api::create_run, Access::write, Demand::more},
      {"GET", {"v1", "runs", "{run}"}, &Api::get_run, Access::read},
      {"DELETE", {"v1", "runs", "{run}"}, &Api::delete_run, Access::write},
      {"GET", {"v1", "runs", "{run}", "session"}, &Api::get_session, Access::read},
      {"GET", {"v1", "runs", "{run}", "events"}, &Api::list_events, Access::read},
      {"GET", {"v1", "runs", "{run}", "stream"}, &Api::stream_events, Access::read, Demand::more},
      {"GET", {"v1", "runs", "{run}", "record"}, &Api::get_record, Access::read},
      {"POST", {"v1", "runs", "{run}", "cancel"}, &Api::cancel_run, Access::write},
      {"POST", {"v1", "runs", "{run}", "messages"}, &Api::send_message, Access::write, Demand::more},
      {"POST", {"v1", "runs", "{run}", "fork"}, &Api::fork_run, Access::write, Demand::more},
      {"GET", {"v1", "runs", "{run}", "turns"}, &Api::list_turns, Access::read},
      {"POST", {"v1", "runs", "{run}", "close"}, &Api::close_conversation, Access::write},
      {"POST", {"v1", "runs", "{run}", "actions", "{item}", "approve"}, &Api::approve, Access::decide},
      {"POST", {"v1", "runs", "{run}", "actions", "{item}", "deny"}, &Api::deny, Access::decide},
      {"GET", {"v1", "approvals"}, &Api::list_approvals, Access::questions},
      {"GET", {"v1", "runs", "{run}", "approval-rules"}, &Api::list_rules, Access::read},
      {"POST", {"v1", "runs", "{run}", "approval-rules"}, &Api::give_rule, Access::decide},
      {"DELETE", {"v1", "runs", "{run}", "approval-rules", "{part}"}, &Api::withdraw_rule, Access::decide},
      {"GET", {"v1", "audit"}, &Api::get_audit, Access::read},
      {"GET", {"v1", "webhooks"}, &Api::list_webhooks, Access::read},
      {"POST", {"v1", "webhooks"}, &Api::create_webhook, Access::admin},
      {"GET", {"v1", "webhooks", "{item}"}, &Api::get_webhook, Access::read},
      {"PATCH", {"v1", "webhooks", "{item}"}, &Api::change_webhook, Access::admin},
      {"DELETE", {"v1", "webhooks", "{item}"}, &Api::delete_webhook, Access::admin},
      {"POST", {"v1", "webhooks", "{item}", "rotate"}, &Api::rotate_webhook_secret, Access::admin},
      {"POST", {"v1", "webhooks", "{item}", "test"}, &Api::test_webhook, Access::admin},
      {"GET", {"v1", "webhooks", "{item}", "deliveries"}, &Api::list_deliveries, Access::read},
      {"POST",
       {"v1", "webhooks", "{item}", "deliveries", "{part}", "redeliver"},
       &Api::redeliver,
       Access::admin},
      {"GET", {"v1", "keys"}, &Api::list_keys, Access::keys},
      {"POST", {"v1", "keys"}, &Api::create_key, Access::keys},
      {"GET", {"v1", "keys", "{item}"}, &Api::get_key, Access::keys},
      {"DELETE", {"v1", "keys", "{item}"}, &Api::revoke_key, Access::keys},
      {"POST", {"v1", "keys", "{item}", "rotate"}, &Api::rotate_key, Access::keys},
      {"GET", {"v1", "workspaces"}, &Api::list_workspaces, Access::keys},
      {"POST", {"v1", "workspaces"}, &Api::create_workspace, Access::keys},
      {"GET", {"v1", "workspaces", "{item}"}, &Api::get_workspace, Access::keys},
      {"PATCH", {"v1", "workspaces", "{item}"}, &Api::change_workspace, Access::keys},
      {"GET", {"v1", "provider-keys"}, &Api::list_provider_keys, Access::admin},
      {"GET", {"v1", "provider-keys", "{item}"}, &Api::get_provider_key, Access::admin},
      {"PUT", {"v1", "provider-keys", "{item}"}, &Api::put_provider_key, Access::admin},
      {"DELETE", {"v1", "provider-keys", "{item}"}, &Api::delete_provider_key, Access::admin},
      {"GET", {"v1", "vault"}, &Api::get_vault, Access::server},
      {"POST", {"v1", "vault", "rotate"}, &Api::rotate_vault, Access::server},
      {"GET", {"v1", "nodes"}, &Api::list_nodes, Access::server},
      {"POST", {"v1", "nodes", "{item}", "drain"}, &Api::drain_node, Access::server},
      {"POST", {"v1", "nodes", "{item}", "undrain"}, &Api::undrain_node, Access::server},
      {"GET", {"v1", "budgets"}, &Api::get_budgets, Access::read},
      {"POST", {"v1", "runs", "{run}", "approvals"}, &Api::decide_many, Access::decide},
      {"GET", {"v1", "runs", "{run}", "artifacts"}, &Api::list_artifacts, Access::read},
      {"GET", {"v1", "runs", "{run}", "artifacts", "{item}", "download"}, &Api::download, Access::read},
      {"GET", {"v1", "runs", "{run}", "files"}, &Api::list_files, Access::read},
      {"GET", {"v1", "runs", "{run}", "files", "{path}"}, &Api::read_file, Access::read},
      {"GET", {"v1", "runs", "{run}", "archive"}, &Api::download_archive, Access::read},
      {"GET", {"v1", "runs", "{run}", "logs", "{item}"}, &Api::read_log, Access::read},
      {"POST", {"v1", "runs", "{run}", "push"}, &Api::push_run, Access::write},
  };
  return table;
}

namespace {

constexpr std::size_t max_id_bytes = 256;

bool path_matches(const std::vector<std::string_view>& pattern, const std::vector<std::string>& segments) {
  const bool open_ended = pattern.back() == "{path}" && segments.size() > pattern.size();
  return (open_ended || pattern.size() == segments.size()) &&
         std::equal(pattern.begin(), pattern.end(), segments.begin(),
                    [](std::string_view wanted, const std::string& got) {
                      return wanted.front() == '{' ? !got.empty() : wanted == got;
                    });
}

bool is_plain_id(std::string_view id) {
  return id.size() <= max_id_bytes && base::is_utf8(id) && id.find('\0') == std::string_view::npos;
}

// What the id behind a run's, or that of another thing, is called.
std::string id_name(const std::vector<std::string_view>& path, bool item_is_plain) {
  if (path[1] == "keys") return "keyId";
  if (path[1] == "workspaces") return "workspaceId";
  if (path[1] == "provider-keys") return "provider";
  if (path[1] == "webhooks") return item_is_plain ? "deliveryId" : "webhookId";
  if (path[1] == "nodes") return "nodeId";
  if (path[3] == "approval-rules") return "ruleId";
  if (path[3] == "logs") return "log";
  return path[3] == "actions" ? "actionId" : "artifactId";
}

std::vector<tenancy::Scope> scopes_for(Access access) {
  using tenancy::Scope;
  switch (access) {
    case Access::read:
      return {Scope::runs_read};
    case Access::write:
      return {Scope::runs_write};
    case Access::decide:
      return {Scope::approvals_decide};
    case Access::questions:
      return {Scope::runs_read, Scope::approvals_decide};
    case Access::open:
    case Access::admin:
    case Access::keys:
    case Access::server:
      break;
  }
  return {Scope::admin};
}

}  // namespace

Api::Api(ApiNeeds needs, Authenticator authenticator, ApiOptions options)
    : needs_(needs),
      authenticator_(std::move(authenticator)),
      options_(std::move(options)),
      overload_(needs_.store, options_.overload),
      key_watch_(needs_.store, needs_.clock) {}

net::Response Api::error_reply(const net::ServerError& error) {
  return problem(error, needs_.entropy);
}

// Tells of the answer when the call is over, however that came.
struct Api::Answered {
  Answered(const std::function<void(std::string_view, int)>& told, const Call& call)
      : told(told), call(call) {}
  Answered(const Answered&) = delete;
  Answered& operator=(const Answered&) = delete;
  ~Answered() {
    if (call.status != 0) told(call.route, call.status);
  }
  const std::function<void(std::string_view, int)>& told;
  const Call& call;
};

base::Task<void> Api::handle(net::Exchange& exchange) {
  const base::Counted counted(in_flight_);
  Call call{exchange, occasion_of(&exchange.request(), needs_.entropy), {}, {}, {}, {}, {}, {}};
  const Answered answered(options_.on_answer, call);
  std::optional<base::Error> defect;
  try {
    co_await dispatch(call);
  } catch (const std::exception& error) {
    if (exchange.answered()) throw;
    defect = base::Error{base::Code::internal, error.what()};
  }
  if (!defect) co_return;
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() == asio::cancellation_type::none) co_await call.refuse(*defect);
}

base::Task<void> Api::dispatch(Call& call) {
  const auto& request = call.request();
  const std::string_view method = request.is_head() ? "GET" : std::string_view(request.method);
  const RouteEntry* chosen = nullptr;
  std::string allow;
  for (const auto& entry : routes()) {
    if (!path_matches(entry.path, request.segments)) continue;
    if (entry.method == method) chosen = &entry;
    allow += (allow.empty() ? "" : ", ") + std::string(entry.method);
    if (entry.method == "GET") allow += ", HEAD";
  }
  if (!chosen || chosen->access != Access::open) {
    call.about_keys = chosen && chosen->access == Access::keys;
    if (const auto known = co_await identify(call); !known) {
      co_await call.refuse(known.error());
      co_return;
    }
    options_.on_request();
  }
  if (chosen && chosen->access != Access::open) {
    if (const auto admitted = admit(call, *chosen); !admitted) {
      co_await call.refuse(admitted.error());
      co_return;
    }
  }
  if (chosen) {
    call.route = chosen->path[chosen->path.size() > 1 ? 1 : 0];
    co_await answer(call, *chosen);
  } else if (allow.empty()) {
    const base::Error error{base::Code::not_found, "There is no route " + request.target, "not_found"};
    co_await call.refuse(error);
  } else {
    const base::Error error{base::Code::invalid, request.method + " is not allowed here: use " + allow,
                            "method_not_allowed"};
    auto response = problem(error, call.occasion);
    response.headers.add("Allow", allow);
    co_await call.respond(std::move(response));
  }
}

base::Result<void> Api::admit(Call& call, const RouteEntry& entry) {
  if (auto taken = overload_.check(entry.demand); !taken) return taken;
  if (auto allowed = tenancy::check_scope(call.caller, scopes_for(entry.access)); !allowed) return allowed;
  if (entry.access == Access::server) return tenancy::check_opens_all(call.caller);
  if (entry.access == Access::keys) return call.open;
  if (!call.place) return tl::unexpected(call.place.error());
  call.workspace = *call.place;
  return {};
}

std::vector<std::string> Api::route_names() {
  std::vector<std::string> names;
  for (const auto& entry : routes()) {
    std::string name = std::string(entry.method) + " ";
    for (const auto part : entry.path) name.append("/").append(part);
    names.push_back(std::move(name));
  }
  return names;
}

base::Task<void> Api::answer(Call& call, const RouteEntry& entry) {
  for (std::size_t i = 0; i < entry.path.size(); ++i) {
    if (entry.path[i] == "{run}") call.run_id = call.request().segments[i];
    if (entry.path[i] == "{item}") call.item_id = call.request().segments[i];
    if (entry.path[i] == "{part}") call.part_id = call.request().segments[i];
  }
  std::optional<base::Error> error;
  if (!is_plain_id(call.run_id) || !is_plain_id(call.item_id) || !is_plain_id(call.part_id)) {
    Issues issues;
    issues.other({is_plain_id(call.run_id) ? id_name(entry.path, is_plain_id(call.item_id)) : "runId"},
                 "Invalid id: expected at most 256 bytes of text");
    error = issues.to_error();
  } else {
    try {
      co_await (this->*entry.route)(call);
    } catch (const base::Failure& failure) {
      error = failure.error();
    }
  }
  if (error && !call.exchange.answered()) co_await call.refuse(*error);
}

}  // namespace agentrouter::api
