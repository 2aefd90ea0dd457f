#include "keeper/launch_gate.h"

#include "policy/policy.h"
#include "sandbox/plan.h"

namespace agentrouter::keeper {
namespace {

model::Action launch_of(const AttemptPlan& plan, base::Entropy& entropy) {
  return model::make_action(model::ActionId("action_" + base::new_uuid(entropy)),
                            model::launch_action({.runtime = plan.runtime,
                                                  .task = plan.task,
                                                  .command = plan.program.command_name,
                                                  .argv = plan.program.argv_for_action,
                                                  .cwd = sandbox::workspace_path}));
}

}  // namespace

LaunchGate::LaunchGate(base::Executor executor, Recorder& recorder, const AttemptPlan& plan,
                       const base::Clock& clock)
    : recorder_(recorder),
      plan_(plan),
      clock_(clock),
      action_(launch_of(plan, recorder.entropy())),
      wake_(executor) {}

base::Task<GateResult> LaunchGate::pass() {
  const std::string proposed = model::new_event_id(recorder_.entropy());
  recorder_.event("action.proposed", model::Visibility::open,
                  model::proposed_payload(action_, {proposed, {}, "agent"}));
  auto verdict = judge_launch(plan_, clock_.now());
  const std::string judged = evaluated(proposed, verdict);
  if (verdict.decision == policy::Decision::allowed) co_return release(judged);
  if (verdict.decision == policy::Decision::blocked) co_return refuse("policy_denied", verdict.reason);
  co_await wait_for_decision(judged);
  if (cancelled_) co_return stay_closed();
  if (denied_) co_return refuse("policy_denied", *denied_);
  co_return ask_result(*decision_);
}

std::string LaunchGate::evaluated(const std::string& prior, ActionVerdict verdict) {
  const std::string id = model::new_event_id(recorder_.entropy());
  json::object payload = model::control_payload(action_, {id, prior, "policy"});
  for (auto& field : verdict.fields) payload[field.key()] = std::move(field.value());
  if (verdict.decision == policy::Decision::blocked) payload["terminalState"] = "blocked";
  recorder_.event("policy.evaluated", model::Visibility::open, std::move(payload));
  return id;
}

base::Task<void> LaunchGate::wait_for_decision(const std::string& judged) {
  const std::string requested = model::new_event_id(recorder_.entropy());
  const std::string request_id = "approval_" + base::new_uuid(recorder_.entropy());
  recorder_.event("approval.requested", model::Visibility::open,
                  model::approval_requested_payload(action_, {requested, judged, "system"}, request_id));
  asked_ = true;
  recorder_.durable("question", {{"actionId", action_.id.str()},
                                 {"actionDigest", action_.digest},
                                 {"argsDigest", action_.args_digest},
                                 {"requestId", request_id},
                                 {"requestedEventId", requested}});
  while (!decision_ && !cancelled_ && !denied_) {
    co_await wake_.wait();
    if (!std::exchange(judge_again_, false) || decision_ || cancelled_) continue;
    auto verdict = judge_launch(plan_, clock_.now());
    if (verdict.decision != policy::Decision::blocked) continue;
    denied_ = verdict.reason;
    evaluated(requested, std::move(verdict));
  }
}

GateResult LaunchGate::stay_closed() {
  return {.kind = GateResult::Kind::cancelled, .action = action_};
}

GateResult LaunchGate::ask_result(const DecisionMessage& decision) {
  if (decision.action_digest != action_.digest) {
    return refuse("approval_digest_mismatch", "The decision was about another action");
  }
  switch (decision.decision) {
    case DecisionKind::approved:
      return release(decision.event_id);
    case DecisionKind::denied:
      return refuse("approval_denied", "The launch of the agent was denied");
    case DecisionKind::expired:
      break;
  }
  return refuse("approval_expired", "Nobody decided about the launch of the agent in time");
}

GateResult LaunchGate::release(std::string prior_event_id) {
  recorder_.durable("released", {{"actionId", action_.id.str()}, {"actionDigest", action_.digest}});
  return {.kind = GateResult::Kind::released, .action = action_, .prior_event_id = std::move(prior_event_id)};
}

GateResult LaunchGate::refuse(std::string_view code, std::string_view reason) {
  recorder_.record(
      "refused",
      {{"actionId", action_.id.str()}, {"actionDigest", action_.digest}, {"reason", json::string(code)}});
  return {.kind = GateResult::Kind::refused,
          .failure = {.code = std::string(code), .reason = std::string(reason), .cause = {}},
          .action = action_};
}

void LaunchGate::decide(const DecisionMessage& message) {
  if (!asked_ || decision_ || denied_ || message.action_id != action_.id.str()) return;
  decision_ = message;
  wake_.notify();
}

void LaunchGate::judge_again() {
  judge_again_ = true;
  wake_.notify();
}

void LaunchGate::cancel() {
  cancelled_ = true;
  wake_.notify();
}

}  // namespace agentrouter::keeper
