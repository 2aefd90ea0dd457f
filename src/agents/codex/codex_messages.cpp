#include "agents/codex/codex_messages.h"

namespace agentrouter::agents::codex {

namespace {

std::string line(const json::object& message) {
  return base::to_text(message) + "\n";
}

std::string request(std::int64_t id, std::string_view method, json::object params) {
  return line({{"id", id}, {"method", method}, {"params", std::move(params)}});
}

}  // namespace

std::string initialize_request() {
  json::object params;
  params["clientInfo"] = {{"name", "agentrouter"}, {"title", "AgentRouter"}, {"version", "0.1.0"}};
  params["capabilities"] = {{"experimentalApi", true}, {"requestAttestation", false}};
  return request(initialize_id, "initialize", std::move(params));
}

std::string initialized_notification() {
  return line({{"method", "initialized"}});
}

std::string thread_request(const TurnSpec& spec) {
  json::object params;
  const bool resumes = !spec.resume_thread.empty();
  if (resumes) params["threadId"] = spec.resume_thread;
  params["cwd"] = spec.cwd;
  params["approvalPolicy"] = "untrusted";
  params["model"] = spec.model;
  if (resumes) params["excludeTurns"] = true;
  return request(thread_id, resumes ? "thread/resume" : "thread/start", std::move(params));
}

std::string turn_request(const TurnSpec& spec, std::string_view thread) {
  json::object input;
  input["type"] = "text";
  input["text"] = spec.prompt;
  json::object params;
  params["threadId"] = thread;
  params["input"] = json::array{std::move(input)};
  params["sandboxPolicy"] = {{"type", "externalSandbox"}, {"networkAccess", "restricted"}};
  return request(turn_id, "turn/start", std::move(params));
}

std::string interrupt_request(std::string_view thread, std::string_view turn) {
  return request(interrupt_id, "turn/interrupt", {{"threadId", thread}, {"turnId", turn}});
}

std::string approval_answer(const json::value& id, Answer answer) {
  return plain_answer(id, {{"decision", answer == Answer::accept ? "accept" : "decline"}});
}

std::string elicitation_answer(const json::value& id, Answer answer) {
  json::object result;
  const bool accepted = answer == Answer::accept;
  result["action"] = accepted ? "accept" : "decline";
  result["content"] = accepted ? json::value(json::object{}) : json::value(nullptr);
  result["_meta"] = nullptr;
  return plain_answer(id, std::move(result));
}

std::string plain_answer(const json::value& id, json::object result) {
  return line({{"id", id}, {"result", std::move(result)}});
}

std::string method_refusal(const json::value& id) {
  json::object error;
  error["code"] = -32601;
  error["message"] = "this client does not know the method";
  return line({{"id", id}, {"error", std::move(error)}});
}

}  // namespace agentrouter::agents::codex
