#include "sim/simulator.h"

#include "base/hash.h"
#include "sim/openai_stream.h"
#include "sim/responses.h"

namespace agentrouter::sim {

namespace {

Reply wrong_method(std::string_view allowed) {
  auto reply = error_reply(405, "method_not_allowed", "Use " + std::string(allowed) + " here.");
  reply.headers.push_back({"allow", std::string(allowed)});
  return reply;
}

}  // namespace

bool Simulator::is_authorized(const Call& call) const {
  constexpr std::string_view scheme = "Bearer ";
  auto given = call.header("authorization");
  if (require_key_.empty()) return true;
  if (!given.starts_with(scheme)) return false;
  given.remove_prefix(scheme.size());
  return base::equal_in_constant_time(given, require_key_);
}

Reply Simulator::handle(const Call& call) {
  if (!is_authorized(call)) {
    return error_reply(401, "invalid_api_key",
                       "The API key of this request is not the one that this server wants.");
  }
  if (!call.header("upgrade").empty()) {
    return error_reply(426, "upgrade_required", "There is no websocket here: use POST /v1/responses.");
  }
  const auto path = call.target.substr(0, call.target.find('?'));
  if (path == "/v1/responses") {
    return call.method == "POST" ? answer_responses(call, memory_) : wrong_method("POST");
  }
  if (path == "/v1/models") return call.method == "GET" ? answer_models() : wrong_method("GET");
  return error_reply(404, "not_found",
                     "There is no " + std::string(call.method) + " " + std::string(path) + " here.");
}

}  // namespace agentrouter::sim
