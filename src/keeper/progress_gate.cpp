#include "keeper/progress_gate.h"

#include "base/utf8.h"

namespace agentrouter::keeper {
namespace {

using policy::Intervention;

constexpr std::size_t detail_bytes = 300;

policy::NoProgressRules rules_of(const AttemptPlan& plan) {
  return plan.rules ? plan.rules->no_progress() : policy::NoProgressRules();
}

std::string text_of(const json::object& signal, std::string_view key) {
  return std::string(base::get_string(signal, key).value_or(""));
}

std::string name_of(const json::object& signal) {
  return text_of(signal, "signal");
}

// "The same command gave the same result 3 times: make"
std::string described(const json::object& signal) {
  std::string text = text_of(signal, "reason");
  for (const auto* key : {"command", "path", "title", "error"}) {
    const auto detail = text_of(signal, key);
    if (!detail.empty()) return text + ": " + std::string(base::cut_utf8(detail, detail_bytes));
  }
  return text;
}

// That the run goes on although its agent makes no progress, as an action.
json::object continue_action(const model::Runtime& runtime, const json::object& signal, int occurrence) {
  const std::string kind(model::to_string(runtime.kind));
  json::object args = signal;
  args["provider"] = kind;
  args["runtimeMode"] = runtime.mode;
  args["occurrence"] = occurrence;
  json::object body;
  body["type"] = "continue";
  body["name"] = kind + ".continue";
  body["target"] = text_of(signal, "reason");
  body["schemaVersion"] = "agentrouter.continue.v1";
  body["args"] = std::move(args);
  return body;
}

}  // namespace

ProgressGate::ProgressGate(Recorder& recorder, const AttemptPlan& plan)
    : recorder_(recorder), plan_(plan), signals_(rules_of(plan)) {}

Intervention ProgressGate::judge(json::object& signal) {
  const auto kind = policy::parse_signal(name_of(signal));
  const auto& rules = signals_.rules();
  auto action = Intervention::warn;
  if (kind && !asking()) {
    const auto wanted = rules.action(*kind, ++occurrences_, interrupts_);
    if (rules.dry_run) {
      signal["dryRun"] = true;
      signal["wouldBe"] = policy::to_string(wanted);
    } else {
      action = wanted;
    }
  }
  if (action == Intervention::interrupt) ++interrupts_;
  signal["action"] = policy::to_string(action);
  return action;
}

void ProgressGate::ask(const json::object& signal) {
  auto& entropy = recorder_.entropy();
  json::object fields = signal;
  for (const auto* key : {"action", "provider"}) fields.erase(key);
  auto action = model::make_action(model::ActionId("action_" + base::new_uuid(entropy)),
                                   continue_action(plan_.runtime, fields, occurrences_));
  const auto proposed = model::new_event_id(entropy);
  recorder_.event("action.proposed", model::Visibility::open,
                  model::proposed_payload(action, {proposed, prior_event_id_, "system"}));
  const auto evaluated = model::new_event_id(entropy);
  auto payload = model::control_payload(action, {evaluated, proposed, "policy"});
  payload["policyId"] = plan_.rules ? plan_.rules->name() : "no-progress";
  payload["policyVersion"] = plan_.rules ? plan_.rules->version() : "1";
  payload["ruleId"] = "no_progress." + name_of(signal);
  payload["decision"] = policy::to_string(policy::Decision::requires_approval);
  payload["reason"] = described(signal);
  recorder_.event("policy.evaluated", model::Visibility::open, std::move(payload));
  const auto requested = model::new_event_id(entropy);
  const auto request_id = "approval_" + base::new_uuid(entropy);
  recorder_.event("approval.requested", model::Visibility::open,
                  model::approval_requested_payload(action, {requested, evaluated, "system"}, request_id));
  question_ = Question{std::move(action), signal};
  recorder_.durable("question", {{"actionId", question_->action.id.str()},
                                 {"actionDigest", question_->action.digest},
                                 {"argsDigest", question_->action.args_digest},
                                 {"requestId", request_id},
                                 {"requestedEventId", requested}});
}

bool ProgressGate::decide(const DecisionMessage& message) {
  if (!question_ || message.action_id != question_->action.id.str()) return false;
  if (message.action_digest != question_->action.digest) {
    refuse("approval_digest_mismatch");
    end_run("approval_digest_mismatch", "The decision was about another action");
  } else if (message.decision == DecisionKind::approved) {
    release(message);
  } else if (message.decision == DecisionKind::denied) {
    refuse("approval_denied");
    end_run("approval_denied", "A person decided that the run does not go on (" +
                                   described(question_->signal) + ")" +
                                   (message.reason.empty() ? "" : ": " + message.reason));
  } else {
    refuse("approval_expired");
    end_run("approval_expired",
            "Nobody decided in time whether the run goes on (" + described(question_->signal) + ")");
  }
  question_.reset();
  return true;
}

void ProgressGate::release(const DecisionMessage& message) {
  auto& entropy = recorder_.entropy();
  const auto& action = question_->action;
  const auto execution = "execution_" + base::new_uuid(entropy);
  const auto started = model::new_event_id(entropy);
  auto begins = model::control_payload(action, {started, message.event_id, "runtime"});
  begins["executionId"] = execution;
  begins["status"] = "started";
  recorder_.event("execution.started", model::Visibility::open, std::move(begins));
  recorder_.durable("released", {{"actionId", action.id.str()}, {"actionDigest", action.digest}});
  auto ends = model::control_payload(action, {model::new_event_id(entropy), started, "runtime"});
  ends["executionId"] = execution;
  ends["status"] = "completed";
  ends["terminalState"] = "completed";
  recorder_.event("execution.completed", model::Visibility::open, std::move(ends));
  persons_word_ = message.reason;
}

void ProgressGate::refuse(std::string_view code) {
  recorder_.record("refused", {{"actionId", question_->action.id.str()},
                               {"actionDigest", question_->action.digest},
                               {"reason", code}});
}

void ProgressGate::end_run(std::string code, std::string reason) {
  failure_ = model::RunFailure{std::move(code), std::move(reason), name_of(question_->signal)};
}

void ProgressGate::withdraw() {
  if (!question_) return;
  refuse("turn_ended");
  question_.reset();
}

void ProgressGate::break_off(model::RunFailure failure) {
  question_.reset();
  failure_ = std::move(failure);
}

model::RunFailure ProgressGate::stopped_by(const json::object& signal) {
  return {"no_progress", "The agent makes no progress. " + described(signal), name_of(signal)};
}

std::string ProgressGate::message_about(const json::object& signal) {
  return "You were interrupted because your work makes no progress (" + name_of(signal) + "). " +
         described(signal) +
         "\nDo not go on in the same way. Look for the cause, or take another way; if nothing is left to "
         "try, "
         "say what is missing and end your turn.";
}

std::string ProgressGate::message_of_person() const {
  std::string text =
      "Your work was held because it seemed to make no progress. A person decided that you go on";
  text += persons_word_.empty() ? "." : ": " + persons_word_;
  return text + "\nGo on where you stopped.";
}

}  // namespace agentrouter::keeper
