#include "runs/approvals.h"

#include "runs/actions.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

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

base::Result<void> expire_approval(store::Transaction& tx, const model::RunId& run,
                                   const model::ActionId& action, Context context) {
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
  for (const auto& approval : tx.pending_approvals(run)) {
    settle_approval(tx, run, approval.action_id, store::ApprovalState::void_, reason, context);
  }
}

}  // namespace agentrouter::runs
