#include "keeper/tool_gate.h"

#include <algorithm>

namespace agentrouter::keeper {

namespace {

std::string command_of(const json::object& args) {
  return std::string(base::get_string(args, "command").value_or(""));
}

const json::object& args_of(const json::object& payload) {
  static const json::object none;
  const auto* args = base::get_object(payload, "args");
  return args == nullptr ? none : *args;
}

}  // namespace

void ToolGate::see(const agents::EmitEvent& event) {
  if (event.type != "agent.tool_started") return;
  listed_.push_back(agents::listed_call(std::string(base::get_string(event.payload, "callId").value_or("")),
                                        base::get_string(event.payload, "tool").value_or("other"),
                                        args_of(event.payload), needs_.recorder.redactor()));
  if (listed_.size() <= agents::review_listed_calls) return;
  listed_.pop_front();
  ++omitted_;
}

policy::ToolVerdict ToolGate::judge(const agents::Ask& ask) {
  auto verdict = policy::judge_tool(needs_.plan.runtime, {.tool = ask.tool, .command = command_of(ask.args)});
  if (verdict.decision == policy::ToolDecision::deny) report(ask, policy::tool_policy, verdict);
  return verdict;
}

base::Task<policy::ToolVerdict> ToolGate::reviewers_word(agents::Ask ask) {
  const auto word = co_await ask_reviewer(ask);
  co_return policy::ToolVerdict{word.allowed ? policy::ToolDecision::allow : policy::ToolDecision::deny,
                                word.reason};
}

base::Task<policy::ToolVerdict> ToolGate::review(agents::Ask ask) {
  const auto verdict = co_await reviewers_word(ask);
  report(ask, policy::review_policy, verdict);
  co_return verdict;
}

base::Task<agents::ReviewVerdict> ToolGate::ask_reviewer(const agents::Ask& ask) {
  auto request = agents::review_request(subject_of(ask));
  if (!request) co_return agents::ReviewVerdict{false, "the call is too long to be reviewed"};
  auto answer = co_await needs_.ask_provider(std::move(*request));
  if (!answer) {
    co_return agents::ReviewVerdict{false, "the reviewer could not be asked: " + answer.error().message};
  }
  co_return agents::read_review(needs_.plan.runtime.kind, answer->status, answer->body,
                                needs_.recorder.redactor());
}

agents::ReviewSubject ToolGate::subject_of(const agents::Ask& ask) const {
  const auto own = std::find_if(listed_.begin(), listed_.end(),
                                [&](const auto& call) { return call.call_id == ask.call_id; });
  return {.kind = needs_.plan.runtime.kind,
          .model = needs_.plan.model,
          .task = needs_.task,
          .earlier = {listed_.begin(), own},
          .omitted = omitted_,
          .tool = ask.tool,
          .args = ask.args,
          .nonce = base::new_uuid(needs_.recorder.entropy())};
}

void ToolGate::report(const agents::Ask& ask, std::string_view policy, const policy::ToolVerdict& verdict) {
  const bool allowed = verdict.decision == policy::ToolDecision::allow;
  json::object payload{
      {"eventId", model::new_event_id(needs_.recorder.entropy())},
      {"priorEventId", needs_.prior_event_id},
      {"actor", "policy"},
      {"policyId", policy},
      {"policyVersion", policy::tool_policy_version},
      {"decision", policy::to_string(allowed ? policy::Decision::allowed : policy::Decision::blocked)},
      {"reason", verdict.reason},
      {"tool", ask.tool}};
  if (!ask.call_id.empty()) payload["callId"] = ask.call_id;
  needs_.recorder.event("policy.evaluated", model::Visibility::open, std::move(payload));
}

}  // namespace agentrouter::keeper
