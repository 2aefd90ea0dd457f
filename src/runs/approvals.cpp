#include "runs/approvals.h"

#include "runs/actions.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

constexpr int newest_actions = 100;

// A keeper that was killed between the event that asks and the record that makes it a question.
void keep_half_asked(store::Transaction& tx, const model::RunId& run) {
  for (const auto& action : tx.actions(run, newest_actions)) {
    if (action.approval != "pending" || tx.approval(run, action.action_id)) continue;
    const auto event = tx.event(run, action.requested_seq);
    if (!event) continue;
    const auto payload = base::parse_json(event->payload);
    if (!payload || !payload->is_object()) continue;
    store::Approval approval;
    approval.run_id = run;
    approval.action_id = action.action_id;
    approval.action_digest = action.action_digest;
    approval.args_digest = action.args_digest;
    approval.request_id = base::get_string(payload->get_object(), "requestId").value_or("");
    approval.requested_event_id = base::get_string(payload->get_object(), "eventId").value_or("");
    approval.requested_at = event->created_at;
    tx.put_approval(approval);
  }
}

}  // namespace

bool settle_approval(store::Transaction& tx, const model::RunId& run, const model::ActionId& action,
                     store::ApprovalState state, std::string_view reason, Context context) {
  auto approval = tx.approval(run, action);
  if (!approval || approval->state != store::ApprovalState::pending) return false;
  const bool expired = state == store::ApprovalState::expired;
  auto payload = answer_payload(*approval, "system", context);
  payload["reason"] = reason;
  const auto event =
      append_event(tx, run,
                   make_event(expired ? "approval.expired" : "approval.withdrawn", model::EventSource::worker,
                              model::Visibility::open, payload, context.clock.now()));
  approval->state = state;
  approval->reason = std::string(reason);
  approval->decided_seq = event.sequence;
  approval->delivered = !expired;
  tx.put_approval(*approval);
  return true;
}

base::Result<void> expire_approval(store::Transaction& tx, const Fence& fence, const model::ActionId& action,
                                   Context context) {
  AGENTROUTER_TRY(const auto attempt, check_fence(tx, fence));
  const auto& run = attempt.run_id;
  const auto approval = tx.approval(run, action);
  if (!approval || approval->state != store::ApprovalState::pending) {
    return base::fail(base::Code::conflict, "no approval of action " + action.str() + " is pending",
                      "approval_not_pending");
  }
  if (!approval->expires_at || *approval->expires_at > context.clock.now()) {
    return base::fail(base::Code::conflict, "the approval of action " + action.str() + " is not due",
                      "approval_not_due");
  }
  settle_approval(tx, run, action, store::ApprovalState::expired, "approval_timeout", context);
  return {};
}

void void_approvals(store::Transaction& tx, const model::RunId& run, std::string_view reason,
                    Context context) {
  keep_half_asked(tx, run);
  for (const auto& approval : tx.pending_approvals(run)) {
    settle_approval(tx, run, approval.action_id, store::ApprovalState::void_, reason, context);
  }
}

}  // namespace agentrouter::runs
