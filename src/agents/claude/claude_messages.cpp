#include "agents/claude/claude_messages.h"

namespace agentrouter::agents::claude {

namespace {

std::string line(const json::object& message) {
  return base::to_text(message) + "\n";
}

std::string request(std::string_view id, std::string_view subtype) {
  return line({{"type", "control_request"}, {"request_id", id}, {"request", {{"subtype", subtype}}}});
}

std::string success(std::string_view request_id, json::object answer) {
  json::object response;
  response["subtype"] = "success";
  response["request_id"] = request_id;
  response["response"] = std::move(answer);
  return line({{"type", "control_response"}, {"response", std::move(response)}});
}

}  // namespace

std::string initialize_request() {
  return request(initialize_id, "initialize");
}

std::string user_message(const TurnSpec& spec) {
  json::object text;
  text["type"] = "text";
  text["text"] = spec.prompt.starts_with('/') ? "\n" + spec.prompt : spec.prompt;
  json::object message;
  message["role"] = "user";
  message["content"] = json::array{std::move(text)};
  json::object whole;
  whole["type"] = "user";
  whole["message"] = std::move(message);
  whole["parent_tool_use_id"] = nullptr;
  whole["session_id"] = spec.resume_thread;
  return line(whole);
}

std::string interrupt_request() {
  return request(interrupt_id, "interrupt");
}

std::string allowed(std::string_view request_id, const json::value& input) {
  return success(request_id, {{"behavior", "allow"}, {"updatedInput", input}});
}

std::string denied(std::string_view request_id, std::string_view reason) {
  const std::string message =
      reason.empty() ? "This was not approved." : "This was not approved: " + std::string(reason);
  return success(request_id, {{"behavior", "deny"}, {"message", message}});
}

std::string refused(std::string_view request_id) {
  json::object response;
  response["subtype"] = "error";
  response["request_id"] = request_id;
  response["error"] = "this client does not know the request";
  return line({{"type", "control_response"}, {"response", std::move(response)}});
}

}  // namespace agentrouter::agents::claude
