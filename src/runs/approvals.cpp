#include "runs/approvals.h"

#include "runs/payloads.h"

namespace agentrouter::runs {

bool settle_approval(store::Transaction& tx, const model::RunId& run, const model::ActionId& action,
                     store::ApprovalState state, std::string_view reason, Context context) {
  auto approval = tx.approval(run, action);
  if (!approval || approval->state != store::ApprovalState::pending) return false;
  const bool expired = state == store::ApprovalState::expired;
  auto payload = answer_payload(*approval, "system", context);
  payload["reason"] = reason;
  const auto event = tx.append(
      run, make_event(expired ? "approval.expired" : "approval.withdrawn", model::EventSource::worker,
                      model::Visibility::open, payload, context.clock.now()));
  approval->state = state;
  approval->reason = std::string(reason);
  approval->decided_seq = event.sequence;
  approval->delivered = !expired;
  tx.put_approval(*approval);
  return true;
}

void void_approvals(store::Transaction& tx, const model::RunId& run, std::string_view reason,
                    Context context) {
  for (const auto& approval : tx.pending_approvals(run)) {
    settle_approval(tx, run, approval.action_id, store::ApprovalState::void_, reason, context);
  }
}

}  // namespace agentrouter::runs
