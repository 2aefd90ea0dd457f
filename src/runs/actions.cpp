#include "runs/actions.h"

#include <array>

#include "runs/audit.h"
#include "runs/outbox.h"

namespace agentrouter::runs {

namespace {

constexpr std::array<std::string_view, 10> control_events{
    "action.edited",      "action.proposed",    "policy.evaluated",  "approval.requested",  "approval.decided", "approval.expired",
    "approval.withdrawn", "execution.started", "execution.completed", "execution.failed"};

// Moves what an event says into the record of its action.
class Fold {
 public:
  Fold(store::ActionRecord& action, const json::object& payload, model::Seq sequence)
      : action_(action), payload_(payload), sequence_(sequence) {}

  void event(std::string_view type) {
    take("actionDigest", action_.action_digest);
    take("argsDigest", action_.args_digest);
    take("actionName", action_.name);
    take("targetResource", action_.target);
    if (type == "action.proposed") action_.proposed_seq = sequence_;
    if (type == "policy.evaluated") policy();
    if (type == "approval.requested") {
      action_.requested_seq = sequence_;
      action_.approval = "pending";
    }
    if (type == "approval.decided") settled(text("decision"));
    if (type == "approval.expired") settled("expired");
    if (type == "approval.withdrawn") settled("withdrawn");
    if (type == "execution.started") started();
    if (type == "execution.completed") ended("completed");
    if (type == "execution.failed") ended("failed");
  }

 private:
  [[nodiscard]] std::string_view text(std::string_view key) const {
    return base::get_string(payload_, key).value_or("");
  }
  void take(std::string_view key, std::string& into) const {
    if (const auto value = text(key); !value.empty()) into = value;
  }
  void policy() {
    action_.policy_seq = sequence_;
    action_.policy_decision = text("decision");
    action_.policy_reason = text("reason");
    action_.policy_id = text("policyId");
    action_.policy_version = text("policyVersion");
    action_.policy_rule = text("ruleId");
  }
  void settled(std::string_view as) {
    action_.settled_seq = sequence_;
    action_.approval = as;
    action_.approval_reason = text("reason");
    action_.decided_by = text("decidedBy");
  }
  void started() {
    action_.started_seq = sequence_;
    action_.ended_seq = 0;
    action_.execution = "started";
    action_.execution_reason.clear();
    action_.exit_code.reset();
    action_.duration_ms.reset();
  }
  void ended(std::string_view as) {
    action_.ended_seq = sequence_;
    action_.execution = as;
    action_.execution_reason = text("reason");
    action_.exit_code = base::get_int(payload_, "exitCode");
    action_.duration_ms = base::get_int(payload_, "durationMs");
  }

  store::ActionRecord& action_;
  const json::object& payload_;
  model::Seq sequence_;
};

void fold(store::Transaction& tx, const model::Event& event, const json::value& payload) {
  const auto* object = payload.if_object();
  const auto id = object ? base::get_string(*object, "actionId") : std::nullopt;
  if (!id || id->empty()) return;
  const model::ActionId action_id{std::string(*id)};
  auto action = tx.action(event.run_id, action_id).value_or(store::ActionRecord{});
  action.run_id = event.run_id;
  action.action_id = action_id;
  Fold(action, *object, event.sequence).event(event.type);
  tx.put_action(action);
}

}  // namespace

model::Event append_event(store::Transaction& tx, const model::RunId& run, const model::EventDraft& draft,
                          std::string_view who) {
  auto event = tx.append(run, draft);
  const bool controls =
      std::find(control_events.begin(), control_events.end(), event.type) != control_events.end();
  const bool audited = is_audited(event.type);
  const bool told = has_notice(event.type);
  if (!controls && !audited && !told) return event;
  const auto parsed = base::parse_json(event.payload, {.max_depth = 128});
  const auto payload = parsed ? *parsed : json::value(event.payload);
  if (controls) fold(tx, event, payload);
  if (audited) audit_event(tx, event, payload, who);
  if (told) notify_event(tx, event, payload);
  return event;
}

}  // namespace agentrouter::runs
