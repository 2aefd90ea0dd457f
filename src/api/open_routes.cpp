// Routes that need no key: they say nothing of any run.

#include "api/call.h"
#include "api/openapi.h"
#include "base/hash.h"

namespace agentrouter::api {

namespace {

// If-None-Match, with the weak comparison of RFC 9110 section 13.1.2.
bool holds_tag(const net::Headers& headers, std::string_view tag) {
  return headers.has_token("If-None-Match", "*") || headers.has_token("If-None-Match", tag) ||
         headers.has_token("If-None-Match", "W/" + std::string(tag));
}

}  // namespace

base::Task<void> Api::health(Call& call) {
  co_await call.respond_json(200, "{\"ok\":true}");
}

// Ready means that the store answers, and soon: otherwise 503.
base::Task<void> Api::ready(Call& call) {
  base::value_or_throw(overload_.check(Demand::usual));
  (void)co_await needs_.store.read([](store::Reader& reader) { return reader.queued_runs(1).size(); });
  co_await call.respond_json(200, "{\"ok\":true}");
}

base::Task<void> Api::openapi(Call& call) {
  static const std::string tag = "\"" + base::Sha256::hex_of(openapi_document()).substr(0, 32) + "\"";
  net::Response response;
  if (holds_tag(call.request().headers, tag)) {
    response.status = 304;
  } else {
    response = json_response(200, std::string(openapi_document()));
  }
  response.headers.add("ETag", tag);
  // Kept, but asked about each time: it changes with the server's version.
  response.headers.add("Cache-Control", "no-cache");
  co_await call.respond(std::move(response));
}

}  // namespace agentrouter::api
