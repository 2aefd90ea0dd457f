#include "runs/decide.h"

#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

using store::ApprovalState;

base::Error conflict(std::string message, std::string reason) {
  return {base::Code::conflict, std::move(message), std::move(reason)};
}

base::Error digest_mismatch(const store::Approval& approval, const DecisionRequest& request) {
  auto error = conflict("the action is another one than was asked about", "action_digest_mismatch");
  json::object details;
  details["expected"] = approval.action_digest;
  details["received"] = request.action_digest;
  error.details = base::to_text(details);
  return error;
}

// A later decision, its opposite, or a cancel cannot be answered by an agent any more.
bool takes_decisions(store::Reader& reader, const model::Run& run) {
  if (model::is_terminal(run.status) || run.status == model::RunStatus::cancelling) return false;
  const auto attempt = reader.latest_attempt(run.id);
  return !attempt || attempt->closing.empty();
}

base::Result<model::Event> repeated(store::Reader& reader, const store::Approval& approval,
                                    const DecisionRequest& request) {
  if (to_string(approval.state) != to_string(request.decision)) {
    return tl::unexpected(conflict("the action was already " + std::string(to_string(approval.state)),
                                   "approval_already_decided"));
  }
  auto event = reader.event(request.run, approval.decided_seq);
  if (!event) base::throw_failure(base::Code::corrupt, "a decision's event is missing", "store_corrupt");
  return *event;
}

model::Event append_decision(store::Transaction& tx, const store::Approval& approval,
                             const DecisionRequest& request, Context context) {
  auto payload = answer_payload(approval, "human", context);
  payload["decisionId"] = "decision_" + base::new_uuid(context.entropy);
  payload["decision"] = to_string(request.decision);
  if (!request.reason.empty()) payload["reason"] = request.reason;
  if (request.decision == Decision::denied) payload["terminalState"] = "denied";
  return tx.append(request.run, make_event("approval.decided", model::EventSource::api,
                                           model::Visibility::open, payload, context.clock.now()));
}

}  // namespace

std::string_view to_string(Decision decision) {
  return decision == Decision::approved ? "approved" : "denied";
}

base::Result<model::Event> decide_action(store::Transaction& tx, const DecisionRequest& request,
                                         Context context) {
  const auto run = tx.run(request.run);
  if (!run) return tl::unexpected(run_not_found(request.run));
  auto approval = tx.approval(request.run, request.action);
  if (!approval) {
    return tl::unexpected(conflict("no approval was requested for this action", "approval_not_requested"));
  }
  if (approval->action_digest.empty() || approval->args_digest.empty() ||
      approval->requested_event_id.empty()) {
    return tl::unexpected(conflict("the approval request is incomplete", "invalid_action_event"));
  }
  if (approval->action_digest != request.action_digest)
    return tl::unexpected(digest_mismatch(*approval, request));
  if (approval->state == ApprovalState::approved || approval->state == ApprovalState::denied) {
    return repeated(tx, *approval, request);
  }
  if (!takes_decisions(tx, *run)) return tl::unexpected(run_not_active(request.run));
  if (approval->state != ApprovalState::pending) {
    return tl::unexpected(
        conflict("the approval is " + std::string(to_string(approval->state)), "approval_not_pending"));
  }
  auto event = append_decision(tx, *approval, request, context);
  const bool approved = request.decision == Decision::approved;
  approval->state = approved ? ApprovalState::approved : ApprovalState::denied;
  approval->reason = request.reason;
  approval->decided_seq = event.sequence;
  tx.put_approval(*approval);
  return event;
}

}  // namespace agentrouter::runs
