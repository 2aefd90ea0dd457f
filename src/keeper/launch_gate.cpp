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

LaunchGate::LaunchGate(base::Executor executor, Recorder& recorder, const AttemptPlan& plan)
    : recorder_(recorder), plan_(plan), action_(launch_of(plan, recorder.entropy())), wake_(executor) {}

base::Task<GateResult> LaunchGate::pass() {
  const std::string proposed = model::new_event_id(recorder_.entropy());
  recorder_.event("action.proposed", model::Visibility::open,
                  model::proposed_payload(action_, {proposed, {}, "agent"}));

  const policy::Verdict verdict = policy::judge_launch(plan_.approval_mode);
  const std::string evaluated = model::new_event_id(recorder_.entropy());
  json::object payload = model::control_payload(action_, {evaluated, proposed, "policy"});
  payload["policyId"] = verdict.policy_id;
  payload["policyVersion"] = verdict.policy_version;
  payload["decision"] = policy::to_string(verdict.decision);
  payload["reason"] = verdict.reason;
  if (verdict.decision == policy::Decision::blocked) payload["terminalState"] = "blocked";
  recorder_.event("policy.evaluated", model::Visibility::open, std::move(payload));

  if (verdict.decision == policy::Decision::allowed) co_return release(evaluated);
  if (verdict.decision == policy::Decision::blocked) co_return refuse("policy_denied", verdict.reason);

  const std::string requested = model::new_event_id(recorder_.entropy());
  const std::string request_id = "approval_" + base::new_uuid(recorder_.entropy());
  recorder_.event("approval.requested", model::Visibility::open,
                  model::approval_requested_payload(action_, {requested, evaluated, "system"}, request_id));
  asked_ = true;
  recorder_.durable("question", {{"actionId", action_.id.str()},
                                 {"actionDigest", action_.digest},
                                 {"argsDigest", action_.args_digest},
                                 {"requestId", request_id},
                                 {"requestedEventId", requested}});
  while (!decision_ && !cancelled_) co_await wake_.wait();
  co_return cancelled_ ? stay_closed() : ask_result(*decision_);
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
  if (!asked_ || decision_ || message.action_id != action_.id.str()) return;
  decision_ = message;
  wake_.notify();
}

void LaunchGate::cancel() {
  cancelled_ = true;
  wake_.notify();
}

}  // namespace agentrouter::keeper
