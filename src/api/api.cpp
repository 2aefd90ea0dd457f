#include "api/api.h"

#include <algorithm>

#include "api/call.h"
#include "base/counted.h"
#include "base/utf8.h"

namespace agentrouter::api {

enum class Access { open, keyed };

// A path is a list of segments; "{run}", "{item}" and "{part}" stand for any one segment that is not empty, "{path}" at
// the end for one or more.
struct Api::RouteEntry {
  std::string_view method;
  std::vector<std::string_view> path;
  Route route;
  Access access = Access::keyed;
  Demand demand = Demand::usual;
};

const std::vector<Api::RouteEntry>& Api::routes() {
  static const std::vector<RouteEntry> table{
      {"GET", {"healthz"}, &Api::health, Access::open},
      {"GET", {"readyz"}, &Api::ready, Access::open},
      {"GET", {"openapi.json"}, &Api::openapi, Access::open},
      {"POST", {"v1", "uploads"}, &Api::upload, Access::keyed, Demand::more},
      {"GET", {"v1", "runs"}, &Api::list_runs},
      {"POST", {"v1", "runs"}, &Api::create_run, Access::keyed, Demand::more},
      {"GET", {"v1", "runs", "{run}"}, &Api::get_run},
      {"DELETE", {"v1", "runs", "{run}"}, &Api::delete_run},
      {"GET", {"v1", "runs", "{run}", "session"}, &Api::get_session},
      {"GET", {"v1", "runs", "{run}", "events"}, &Api::list_events},
      {"GET", {"v1", "runs", "{run}", "stream"}, &Api::stream_events, Access::keyed, Demand::more},
      {"GET", {"v1", "runs", "{run}", "record"}, &Api::get_record},
      {"POST", {"v1", "runs", "{run}", "cancel"}, &Api::cancel_run},
      {"POST", {"v1", "runs", "{run}", "messages"}, &Api::send_message, Access::keyed, Demand::more},
      {"POST", {"v1", "runs", "{run}", "fork"}, &Api::fork_run, Access::keyed, Demand::more},
      {"GET", {"v1", "runs", "{run}", "turns"}, &Api::list_turns},
      {"POST", {"v1", "runs", "{run}", "close"}, &Api::close_conversation},
      {"POST", {"v1", "runs", "{run}", "actions", "{item}", "approve"}, &Api::approve},
      {"POST", {"v1", "runs", "{run}", "actions", "{item}", "deny"}, &Api::deny},
      {"GET", {"v1", "approvals"}, &Api::list_approvals},
      {"GET", {"v1", "runs", "{run}", "approval-rules"}, &Api::list_rules},
      {"POST", {"v1", "runs", "{run}", "approval-rules"}, &Api::give_rule},
      {"DELETE", {"v1", "runs", "{run}", "approval-rules", "{part}"}, &Api::withdraw_rule},
      {"GET", {"v1", "audit"}, &Api::get_audit},
      {"GET", {"v1", "webhooks"}, &Api::list_webhooks},
      {"POST", {"v1", "webhooks"}, &Api::create_webhook},
      {"GET", {"v1", "webhooks", "{item}"}, &Api::get_webhook},
      {"PATCH", {"v1", "webhooks", "{item}"}, &Api::change_webhook},
      {"DELETE", {"v1", "webhooks", "{item}"}, &Api::delete_webhook},
      {"POST", {"v1", "webhooks", "{item}", "rotate"}, &Api::rotate_webhook_secret},
      {"POST", {"v1", "webhooks", "{item}", "test"}, &Api::test_webhook},
      {"GET", {"v1", "webhooks", "{item}", "deliveries"}, &Api::list_deliveries},
      {"POST", {"v1", "webhooks", "{item}", "deliveries", "{part}", "redeliver"}, &Api::redeliver},
      {"GET", {"v1", "budgets"}, &Api::get_budgets},
      {"POST", {"v1", "runs", "{run}", "approvals"}, &Api::decide_many},
      {"GET", {"v1", "runs", "{run}", "artifacts"}, &Api::list_artifacts},
      {"GET", {"v1", "runs", "{run}", "artifacts", "{item}", "download"}, &Api::download},
      {"GET", {"v1", "runs", "{run}", "files"}, &Api::list_files},
      {"GET", {"v1", "runs", "{run}", "files", "{path}"}, &Api::read_file},
      {"GET", {"v1", "runs", "{run}", "archive"}, &Api::download_archive},
      {"POST", {"v1", "runs", "{run}", "push"}, &Api::push_run},
  };
  return table;
}

namespace {

constexpr std::size_t max_id_bytes = 256;

bool path_matches(const std::vector<std::string_view>& pattern, const std::vector<std::string>& segments) {
  const bool open_ended = pattern.back() == "{path}" && segments.size() > pattern.size();
  return (open_ended || pattern.size() == segments.size()) && std::equal(pattern.begin(), pattern.end(), segments.begin(),
                                                         [](std::string_view wanted, const std::string& got) {
                                                           return wanted.front() == '{' ? !got.empty()
                                                                                        : wanted == got;
                                                         });
}

bool is_plain_id(std::string_view id) {
  return id.size() <= max_id_bytes && base::is_utf8(id) && id.find('\0') == std::string_view::npos;
}

// What the id behind a run's, or that of another thing, is called.
std::string id_name(const std::vector<std::string_view>& path, bool item_is_plain) {
  if (path[1] == "webhooks") return item_is_plain ? "deliveryId" : "webhookId";
  if (path[3] == "approval-rules") return "ruleId";
  return path[3] == "actions" ? "actionId" : "artifactId";
}

}  // namespace

Api::Api(ApiNeeds needs, Authenticator authenticator, ApiOptions options)
    : needs_(needs),
      authenticator_(std::move(authenticator)),
      options_(std::move(options)),
      overload_(needs_.store, options_.overload) {}


net::Response Api::error_reply(const net::ServerError& error) {
  return problem(error, needs_.entropy);
}

base::Task<void> Api::handle(net::Exchange& exchange) {
  const base::Counted counted(in_flight_);
  Call call{exchange, occasion_of(&exchange.request(), needs_.entropy), {}, {}, {}};
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
  if (!chosen || chosen->access == Access::keyed) {
    if (const auto allowed = authenticator_.check(request.headers); !allowed) {
      auto response = problem(allowed.error(), call.occasion);
      response.headers.add("WWW-Authenticate", "Bearer");
      co_await call.respond(std::move(response));
      co_return;
    }
    options_.on_request();
  }
  if (chosen && chosen->access == Access::keyed) {
    if (const auto taken = overload_.check(chosen->demand); !taken) {
      co_await call.refuse(taken.error());
      co_return;
    }
  }
  if (chosen) {
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
