#include "api/health.h"

namespace agentrouter::api {

base::Task<void> Health::handle(net::Exchange& exchange) {
  const auto occasion = occasion_of(&exchange.request(), entropy_);
  co_await exchange.respond(co_await answer(exchange.request(), occasion));
}

base::Task<net::Response> Health::answer(const net::Request& request, const Occasion& occasion) {
  const bool asks_ready = request.path == "/readyz";
  if (request.path != "/healthz" && !asks_ready) {
    co_return problem({base::Code::not_found, "This server is a worker: it has no API", "not_found"},
                      occasion);
  }
  if (request.method != "GET" && !request.is_head()) {
    auto refusal =
        problem({base::Code::invalid, request.method + " is not allowed here: use GET", "method_not_allowed"},
                occasion);
    refusal.headers.add("Allow", "GET, HEAD");
    co_return refusal;
  }
  if (asks_ready) {
    try {
      (void)co_await store_.read([](store::Reader& reader) { return reader.queued_runs(1).size(); });
    } catch (const base::Failure& failure) {
      co_return problem(failure.error(), occasion);
    }
  }
  auto response = json_response(200, "{\"ok\":true}");
  finish(response, occasion);
  co_return response;
}

}  // namespace agentrouter::api
