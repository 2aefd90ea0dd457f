#pragma once
// How a pending approval ends without a decision: expired, withdrawn by the agent, or void because its keeper
// is gone or its run is ending. Each is visible as an event.

#include "runs/claim.h"

namespace agentrouter::runs {

// Moves a pending approval to `state` with its event: approval.expired for expired, else approval.withdrawn,
// {actionId, actionDigest, requestId, reason} and the fields of every control event. Expired ones are still
// to be delivered to the keeper. False, and nothing done, when it is not pending (any more).
bool settle_approval(store::Transaction& tx, const model::RunId& run, const model::ActionId& action,
                     store::ApprovalState state, std::string_view reason, Context context);

// The deadline of a pending approval has passed: it is expired, by settle_approval. Nothing of the action
// will be executed, and the keeper ends the run with approval_expired. Reader::due_approvals says which are
// due.
//
// Errors: those of check_fence; conflict (approval_not_pending, approval_not_due).
[[nodiscard]] base::Result<void> expire_approval(store::Transaction& tx, const Fence& fence,
                                                 const model::ActionId& action, Context context);

// All pending approvals of the run become void, also what was asked and did not become a question any more.
void void_approvals(store::Transaction& tx, const model::RunId& run, std::string_view reason,
                    Context context);

}  // namespace agentrouter::runs
