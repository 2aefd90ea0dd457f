#include "sim/simulator.h"

#include "base/hash.h"
#include "sim/anthropic_stream.h"
#include "sim/messages.h"
#include "sim/openai_stream.h"
#include "sim/responses.h"

namespace agentrouter::sim {

namespace {

constexpr std::string_view messages_path = "/v1/messages";

// Anthropic's clients name the version of its API.
bool speaks_anthropic(const Call& call, std::string_view path) {
  return path.starts_with(messages_path) || !call.header("anthropic-version").empty() ||
         !call.header("x-api-key").empty();
}

Reply refuse(const Call& call, std::string_view path, int status, std::string_view code,
             std::string_view message) {
  if (speaks_anthropic(call, path)) return anthropic_error(status, "", message);
  return error_reply(status, code, message);
}

}  // namespace

bool Simulator::is_authorized(const Call& call) const {
  constexpr std::string_view scheme = "Bearer ";
  if (require_key_.empty()) return true;
  auto given = call.header("authorization");
  if (given.empty()) return base::equal_in_constant_time(call.header("x-api-key"), require_key_);
  if (!given.starts_with(scheme)) return false;
  given.remove_prefix(scheme.size());
  return base::equal_in_constant_time(given, require_key_);
}

Reply Simulator::handle(const Call& call) {
  const auto path = call.target.substr(0, call.target.find('?'));
  if (!is_authorized(call)) {
    return refuse(call, path, 401, "invalid_api_key",
                  "The API key of this request is not the one that this server wants.");
  }
  if (!call.header("upgrade").empty()) {
    return refuse(call, path, 426, "upgrade_required",
                  "There is no websocket here: use POST /v1/responses or POST /v1/messages.");
  }
  return dispatch(call, path);
}

Reply Simulator::dispatch(const Call& call, std::string_view path) {
  const auto wrong_method = [&](std::string_view allowed) {
    auto reply = refuse(call, path, 405, "method_not_allowed", "Use " + std::string(allowed) + " here.");
    reply.headers.push_back({"allow", std::string(allowed)});
    return reply;
  };
  if (call.method == "HEAD") return Reply{.headers = {{"content-type", "application/json"}}};
  if (path == "/v1/responses") {
    return call.method == "POST" ? answer_responses(call, memory_) : wrong_method("POST");
  }
  if (path == messages_path) {
    return call.method == "POST" ? answer_messages(call, memory_) : wrong_method("POST");
  }
  if (path == "/v1/messages/count_tokens") {
    return call.method == "POST" ? answer_count_tokens(call) : wrong_method("POST");
  }
  if (path == "/v1/models") {
    if (call.method != "GET") return wrong_method("GET");
    return speaks_anthropic(call, path) ? answer_claude_models() : answer_models();
  }
  return refuse(call, path, 404, "not_found",
                "There is no " + std::string(call.method) + " " + std::string(path) + " here.");
}

}  // namespace agentrouter::sim
