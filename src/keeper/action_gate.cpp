#include "keeper/action_gate.h"

#include <algorithm>

#include "sandbox/plan.h"

namespace agentrouter::keeper {
namespace {

// An action that is longer cannot be shown in full, so nobody can decide about it.
constexpr std::size_t action_bytes = 2u << 20;
constexpr std::size_t executions_at_most = 1000;
// Open questions are kept so far, to be judged again when the rules become stricter.
constexpr std::size_t kept_at_most = 16u << 20;

std::vector<std::string> names_of(const std::vector<std::string>& environment) {
  std::vector<std::string> names;
  for (const auto& entry : environment) names.push_back(entry.substr(0, entry.find('=')));
  std::ranges::sort(names);
  return names;
}

json::object shown_input(const json::object& args) {
  const auto size = base::to_text(args).size();
  if (size <= action_bytes) return args;
  return {{"bytes", size}, {"truncated", true}};
}

std::string digest_of_call(std::string_view server, std::string_view tool, const json::value& arguments) {
  const json::value given = arguments.is_null() ? json::value(json::object()) : arguments;
  return base::json_digest(json::object{{"server", server}, {"tool", tool}, {"arguments", given}});
}

// Empty for what is no call of an MCP server.
std::string digest_of_call(const agents::Ask& ask) {
  if (ask.tool != "mcp") return {};
  const auto* arguments = ask.args.if_contains("arguments");
  return digest_of_call(base::get_string(ask.args, "server").value_or(""),
                        base::get_string(ask.args, "tool").value_or(""),
                        arguments == nullptr ? json::value() : *arguments);
}

}  // namespace

ActionGate::ActionGate(Needs needs)
    : needs_(std::move(needs)), environment_(names_of(needs_.plan.program.env)) {}

json::object ActionGate::body_of(const agents::Ask& ask) const {
  return model::tool_action({.runtime = needs_.plan.runtime,
                             .tool = ask.tool,
                             .title = ask.title,
                             .input = shown_input(ask.args),
                             .input_digest = ask.input_digest,
                             .cwd = sandbox::workspace_path,
                             .environment = environment_});
}

ActionGate::Question ActionGate::propose(const agents::Ask& ask) {
  auto& entropy = needs_.recorder.entropy();
  Question question{
      .action = model::make_action(model::ActionId("action_" + base::new_uuid(entropy)), body_of(ask)),
      .name = {},
      .call_id = ask.call_id,
      .prior_event_id = model::new_event_id(entropy)};
  question.name = question.action.name();
  question.mcp_call = digest_of_call(ask);
  auto payload =
      model::proposed_payload(question.action, {question.prior_event_id, needs_.prior_event_id, "agent"});
  if (!ask.call_id.empty()) payload["callId"] = ask.call_id;
  needs_.recorder.event("action.proposed", model::Visibility::open, std::move(payload));
  return question;
}

void ActionGate::evaluated(Question& question, const agents::Ask& ask, json::object fields) {
  const auto id = model::new_event_id(needs_.recorder.entropy());
  auto payload = model::control_payload(question.action, {id, question.prior_event_id, "policy"});
  if (base::get_string(fields, "decision") == policy::to_string(policy::Decision::blocked))
    payload["terminalState"] = "blocked";
  for (auto& field : fields) payload[field.key()] = std::move(field.value());
  payload["tool"] = ask.tool;
  if (!ask.call_id.empty()) payload["callId"] = ask.call_id;
  needs_.recorder.event("policy.evaluated", model::Visibility::open, std::move(payload));
  question.prior_event_id = id;
}

void ActionGate::request(Question& question, const agents::Ask& ask) {
  auto& entropy = needs_.recorder.entropy();
  const auto id = model::new_event_id(entropy);
  const auto request_id = "approval_" + base::new_uuid(entropy);
  auto payload =
      model::approval_requested_payload(question.action, {id, question.prior_event_id, "system"}, request_id);
  if (!question.call_id.empty()) payload["callId"] = question.call_id;
  needs_.recorder.event("approval.requested", model::Visibility::open, std::move(payload));
  question.prior_event_id = id;
  question.asked = true;
  needs_.recorder.durable("question", {{"actionId", question.action.id.str()},
                                       {"actionDigest", question.action.digest},
                                       {"argsDigest", question.action.args_digest},
                                       {"requestId", request_id},
                                       {"requestedEventId", id}});
  question.action.body.clear();
  keep(question, ask);
}

void ActionGate::keep(Question& question, const agents::Ask& ask) {
  forget(question);
  const auto bytes = base::to_text(ask.args).size();
  if (!needs_.plan.rules || kept_bytes_ + bytes > kept_at_most) return;
  question.ask = ask;
  question.ask_bytes = bytes;
  kept_bytes_ += bytes;
}

void ActionGate::forget(Question& question) {
  kept_bytes_ -= std::exchange(question.ask_bytes, 0);
  question.ask.reset();
}

// Why it cannot even be judged; empty when it can.
std::string ActionGate::impossible(const agents::Ask& ask) const {
  if (ask.call_id.empty()) return "the question names no call";
  if (base::to_text(ask.args).size() > action_bytes) return "the call is too long to be shown in full";
  if (executions_.size() >= executions_at_most) return "too many calls are open";
  return {};
}

ActionVerdict ActionGate::judge(const agents::Ask& ask) const {
  const auto why = impossible(ask);
  if (why.empty()) return judge_action(needs_.plan, ask, needs_.clock.now());
  constexpr auto blocked = policy::Decision::blocked;
  return {.decision = blocked, .reason = why, .fields = verdict_fields("action-gate", "1", blocked, why)};
}

ActionGate::Step ActionGate::take(const agents::Ask& ask) {
  auto question = propose(ask);
  auto verdict = judge(ask);
  if (verdict.review) {
    question.action.body.clear();
    questions_.insert_or_assign(ask.ask_id, std::move(question));
    return {.reply = {}, .review = true};
  }
  evaluated(question, ask, std::move(verdict.fields));
  if (verdict.decision == policy::Decision::blocked)
    return {.reply = refuse(ask.ask_id, question, "policy_denied", verdict.reason)};
  if (verdict.decision == policy::Decision::allowed)
    return {.reply = release(ask.ask_id, std::move(question))};
  request(question, ask);
  questions_.insert_or_assign(ask.ask_id, std::move(question));
  return {};
}

std::optional<ActionReply> ActionGate::reviewed(const agents::Ask& ask, const policy::ToolVerdict& verdict) {
  auto found = questions_.extract(ask.ask_id);
  if (found.empty()) return std::nullopt;
  auto& question = found.mapped();
  const bool allowed = verdict.decision == policy::ToolDecision::allow;
  const auto decision = allowed ? policy::Decision::allowed : policy::Decision::blocked;
  evaluated(question, ask,
            verdict_fields(policy::review_policy, policy::tool_policy_version, decision, verdict.reason));
  if (!allowed) return refuse(ask.ask_id, question, "policy_denied", verdict.reason);
  // The rules may have become stricter meanwhile.
  auto now = judge(ask);
  if (now.review || now.decision == policy::Decision::allowed)
    return release(ask.ask_id, std::move(question));
  evaluated(question, ask, std::move(now.fields));
  if (now.decision == policy::Decision::blocked)
    return refuse(ask.ask_id, question, "policy_denied", now.reason);
  request(question, ask);
  questions_.insert_or_assign(ask.ask_id, std::move(question));
  return std::nullopt;
}

std::vector<ActionReply> ActionGate::judge_again() {
  std::vector<ActionReply> replies;
  std::vector<std::string> asked;
  for (const auto& [ask_id, question] : questions_) {
    if (question.asked) asked.push_back(ask_id);
  }
  for (const auto& ask_id : asked) {
    auto& question = questions_.at(ask_id);
    constexpr auto blocked = policy::Decision::blocked;
    const std::string too_long = "the policy has changed, and the call is too long to be judged again";
    auto verdict = question.ask
                       ? judge(*question.ask)
                       : ActionVerdict{.decision = blocked,
                                       .reason = too_long,
                                       .fields = verdict_fields("action-gate", "1", blocked, too_long)};
    if (verdict.decision != blocked) continue;
    auto taken = questions_.extract(ask_id);
    auto& denied = taken.mapped();
    const auto tool = denied.name.substr(denied.name.find('.') + 1);
    evaluated(denied, agents::Ask{.tool = tool, .call_id = denied.call_id}, std::move(verdict.fields));
    forget(denied);
    replies.push_back(refuse(ask_id, denied, "policy_denied", verdict.reason));
  }
  return replies;
}

std::optional<std::string> ActionGate::take_call(std::string_view server, std::string_view tool,
                                                 const json::value& arguments) {
  const auto digest = digest_of_call(server, tool, arguments);
  const auto found = std::ranges::find_if(
      executions_, [&](const auto& execution) { return !execution.left && execution.mcp_call == digest; });
  if (found == executions_.end()) return std::nullopt;
  found->left = true;
  return found->action.id.str();
}

void ActionGate::finish(const std::string& call_id, const egress::RequestRecord& record) {
  const auto found =
      std::ranges::find_if(executions_, [&](const auto& one) { return one.call_id == call_id; });
  if (found == executions_.end()) return;
  const auto execution = std::move(*found);
  executions_.erase(found);
  const bool completed = record.reason.empty() && record.status > 0 && record.status < 400;
  auto payload = outcome(execution, completed ? "completed" : "failed");
  payload["httpStatus"] = record.status;
  payload["bytesOut"] = record.bytes_out;
  payload["bytesIn"] = record.bytes_in;
  if (!completed) payload["reason"] = record.reason.empty() ? std::string("tool_failed") : record.reason;
  needs_.recorder.event(completed ? "execution.completed" : "execution.failed", model::Visibility::open,
                        std::move(payload));
}

std::string ActionGate::asked(const DecisionMessage& message) const {
  const auto at = std::ranges::find_if(questions_, [&](const auto& entry) {
    return entry.second.asked && entry.second.action.id.str() == message.action_id;
  });
  return at == questions_.end() ? std::string() : at->first;
}

void ActionGate::edited(const agents::Ask& ask, const DecisionMessage& message) {
  auto& question = questions_.at(ask.ask_id);
  const auto before = question.action.digest;
  if (message.action_digest != before) return;  // decide() refuses it
  question.action = model::make_action(question.action.id, body_of(ask));
  const auto verdict = judge(ask);
  if (verdict.decision == policy::Decision::blocked) question.denied = verdict.reason;
  const auto id = model::new_event_id(needs_.recorder.entropy());
  auto payload = model::proposed_payload(question.action, {id, message.event_id, "human"});
  question.mcp_call = digest_of_call(ask);
  payload["editedFrom"] = before;
  payload["callId"] = question.call_id;
  needs_.recorder.event("action.edited", model::Visibility::open, std::move(payload));
  question.action.body.clear();
  keep(question, ask);
  question.edited_from = before;
  question.prior_event_id = id;
}

ActionGate::Decided ActionGate::decide(const DecisionMessage& message) {
  const auto asked_id = asked(message);
  if (asked_id.empty()) return {};
  auto found = questions_.extract(asked_id);
  const auto& ask_id = found.key();
  auto& question = found.mapped();
  forget(question);
  const auto& asked_about = question.edited_from.empty() ? question.action.digest : question.edited_from;
  if (message.action_digest != asked_about) {
    return {.reply = refuse(ask_id, question, "approval_digest_mismatch",
                            "the decision was about another action")};
  }
  const bool approved = message.decision == DecisionKind::approved;
  if (approved && !question.denied.empty())
    return {.reply = refuse(ask_id, question, "policy_denied", question.denied)};
  if (approved && !message.input.empty() && question.edited_from.empty())
    return {.reply = refuse(ask_id, question, "edit_unsupported", "the agent takes no other input")};
  if (approved) {
    if (question.edited_from.empty()) question.prior_event_id = message.event_id;
    return {.reply = release(ask_id, std::move(question))};
  }
  if (message.decision == DecisionKind::denied)
    return {.reply = refuse(ask_id, question, "approval_denied", message.reason)};
  std::ignore = refuse(ask_id, question, "approval_expired", {});
  return {
      .end = model::RunFailure{"approval_expired", "Nobody decided about " + question.name + " in time", {}}};
}

void ActionGate::withdraw(const std::string& ask_id) {
  const auto found = questions_.extract(ask_id);
  if (found.empty()) return;
  forget(found.mapped());
  std::ignore = refuse(ask_id, found.mapped(), "withdrawn", {});
}

// The start is told first: whatever was let go has one, so that its outcome is never silently missing.
ActionReply ActionGate::release(const std::string& ask_id, Question question) {
  auto& entropy = needs_.recorder.entropy();
  question.action.body.clear();
  Execution execution{.action = std::move(question.action),
                      .call_id = question.call_id,
                      .id = "execution_" + base::new_uuid(entropy),
                      .started_event_id = model::new_event_id(entropy),
                      .mcp_call = std::move(question.mcp_call)};
  auto payload = model::control_payload(execution.action,
                                        {execution.started_event_id, question.prior_event_id, "runtime"});
  payload["executionId"] = execution.id;
  payload["status"] = "started";
  payload["callId"] = execution.call_id;
  needs_.recorder.event("execution.started", model::Visibility::open, std::move(payload));
  executions_.push_back(execution);
  needs_.recorder.durable(
      "released", {{"actionId", execution.action.id.str()}, {"actionDigest", execution.action.digest}});
  return {ask_id, execution.call_id, execution.action.id.str(), agents::Answer::accept};
}

ActionReply ActionGate::refuse(const std::string& ask_id, const Question& question, std::string_view code,
                               std::string reason) {
  needs_.recorder.record(
      "refused",
      {{"actionId", question.action.id.str()}, {"actionDigest", question.action.digest}, {"reason", code}});
  return {ask_id,
          question.call_id,
          question.action.id.str(),
          agents::Answer::decline,
          std::move(reason),
          std::string(code)};
}

std::optional<ActionGate::Sight> ActionGate::sight_of(const agents::EmitEvent& event) {
  const bool begins = event.type == "agent.tool_started";
  if (!begins && event.type != "agent.tool_completed") return std::nullopt;
  const auto text = [&](std::string_view key) {
    return std::string(base::get_string(event.payload, key).value_or(""));
  };
  return Sight{.begins = begins,
               .call_id = text("callId"),
               .tool = text("tool"),
               .status = text("status"),
               .exit_code = base::get_int(event.payload, "exitCode"),
               .duration_ms = base::get_int(event.payload, "durationMs")};
}

bool ActionGate::see(const Sight& sight) {
  if (sight.begins) {
    open_calls_.insert_or_assign(sight.call_id, sight.tool);
    return true;
  }
  const auto call = open_calls_.extract(sight.call_id);
  // Newest first: a call that asked twice did the second thing within the first.
  bool released = false;
  for (std::size_t i = executions_.size(); i-- > 0;) {
    if (executions_[i].call_id != sight.call_id) continue;
    const auto execution = std::move(executions_[i]);
    executions_.erase(executions_.begin() + static_cast<std::ptrdiff_t>(i));
    released = true;
    ended(execution, sight);
  }
  // The list of things to do is in the agent's head; some agents do not ask about it.
  const bool only_a_list = !call.empty() && call.mapped() == "todo";
  const bool ran = sight.status == "completed" || (sight.status == "failed" && sight.exit_code);
  return released || only_a_list || !ran;
}

json::object ActionGate::outcome(const Execution& execution, std::string_view status) {
  auto payload = model::control_payload(execution.action, {model::new_event_id(needs_.recorder.entropy()),
                                                           execution.started_event_id, "runtime"});
  payload["executionId"] = execution.id;
  payload["status"] = status;
  payload["callId"] = execution.call_id;
  payload["terminalState"] = status;
  return payload;
}

void ActionGate::ended(const Execution& execution, const Sight& sight) {
  if (sight.status == "declined") return failed(execution, "not_executed");
  const bool completed = sight.status == "completed" && sight.exit_code.value_or(0) == 0;
  auto payload = outcome(execution, completed ? "completed" : "failed");
  if (sight.exit_code) payload["exitCode"] = *sight.exit_code;
  if (!completed && !sight.exit_code) payload["reason"] = "tool_failed";
  if (sight.duration_ms) payload["durationMs"] = *sight.duration_ms;
  needs_.recorder.event(completed ? "execution.completed" : "execution.failed", model::Visibility::open,
                        std::move(payload));
}

void ActionGate::failed(const Execution& execution, std::string_view reason) {
  auto payload = outcome(execution, "failed");
  payload["reason"] = reason;
  needs_.recorder.event("execution.failed", model::Visibility::open, std::move(payload));
}

void ActionGate::end(std::string_view reason) {
  kept_bytes_ = 0;
  for (const auto& [ask_id, question] : std::exchange(questions_, {}))
    std::ignore = refuse(ask_id, question, "turn_ended", {});
  for (const auto& execution : std::exchange(executions_, {})) failed(execution, reason);
}

bool ActionGate::waiting() const {
  return std::ranges::any_of(questions_, [](const auto& entry) { return entry.second.asked; });
}

}  // namespace agentrouter::keeper
