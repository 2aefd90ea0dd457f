#pragma once
// A person approves or denies a pending action. One row judges, once; its event and its state change in one
// transaction. Delivering the decision to the keeper is the worker's work (Reader::undelivered_approvals).

#include "runs/idempotency.h"

namespace agentrouter::runs {

enum class Decision { approved, denied };
[[nodiscard]] std::string_view to_string(Decision decision);

struct DecisionRequest {
  model::RunId run;
  model::ActionId action;
  std::string action_digest;  // what the person saw
  Decision decision = Decision::denied;
  std::string reason;                // trimmed; empty for none
  std::string idempotency_key = {};  // as the client sent it; empty for none
  std::string decided_by = {};       // names the key that the person used
  std::optional<json::object> updated_input = {};  // what shall run instead
  std::string standing_rule = {};  // the rule by which `decided_by` has decided in advance; empty for none
};

// The approval.decided event.
struct Decided : model::Event {
  bool replayed = false;  // an earlier request with this key made it
};

// A repeat of the same decision returns the first one's event, with the first reason, also after the run has
// ended, with and without a key.
//
// Errors: not_found (run_not_found); conflict with reason idempotency_conflict, approval_not_requested,
// invalid_action_event (the stored question lacks a field), action_digest_mismatch (details {expected,
// received}), approval_already_decided (the opposite decision), approval_not_pending (it expired or was
// withdrawn, also when the run has ended since, or is void because its keeper was lost), run_not_active (the
// run has ended, is being closed or cancelled).
[[nodiscard]] base::Result<Decided> decide_action(store::Transaction& tx, const DecisionRequest& request,
                                                  Context context);

}  // namespace agentrouter::runs
