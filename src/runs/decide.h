#pragma once
// A person approves or denies a pending action. One row judges, once; its event and its state change in one
// transaction. Delivering the decision to the keeper is the worker's work (Reader::undelivered_approvals).

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

enum class Decision { approved, denied };
[[nodiscard]] std::string_view to_string(Decision decision);

struct DecisionRequest {
  model::RunId run;
  model::ActionId action;
  std::string action_digest;  // what the person saw
  Decision decision = Decision::denied;
  std::string reason;  // trimmed; empty for none
};

// The approval.decided event. A repeat of the same decision returns the first one's event, with the first
// reason, also after the run has ended.
//
// Errors: not_found (run_not_found); conflict with reason approval_not_requested, action_digest_mismatch
// (details {expected, received}), approval_already_decided (the opposite decision), run_not_active (the run
// has ended, is being closed or cancelled), approval_not_pending (expired or withdrawn),
// invalid_action_event (the stored question lacks a field).
[[nodiscard]] base::Result<model::Event> decide_action(store::Transaction& tx, const DecisionRequest& request,
                                                       Context context);

}  // namespace agentrouter::runs
