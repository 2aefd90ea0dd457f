#include "api/health.h"

#include "api/problem.h"

namespace agentrouter::api {

base::Task<void> Health::handle(net::Exchange& exchange) {
  const auto& request = exchange.request();
  const auto occasion = occasion_of(&request, entropy_);
  net::Response response;
  if (request.path != "/healthz" && request.path != "/readyz") {
    const base::Error error{base::Code::not_found, "This server is a worker: it has no API", "not_found"};
    response = problem(error, occasion);
  } else if (request.method != "GET" && !request.is_head()) {
    const base::Error error{base::Code::invalid, request.method + " is not allowed here: use GET",
                            "method_not_allowed"};
    response = problem(error, occasion);
    response.headers.add("Allow", "GET, HEAD");
  } else {
    response = json_response(200, "{\"ok\":true}");
    finish(response, occasion);
  }
  co_await exchange.respond(std::move(response));
}

}  // namespace agentrouter::api
