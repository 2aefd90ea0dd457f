#pragma once
// Cancelling is a wish that the store keeps: the run becomes `cancelling` at once, and `cancelled` when its
// sandbox is gone. A run that no attempt holds is settled directly.

#include "runs/conversations.h"

namespace agentrouter::runs {

// The run as it is afterwards: cancelling with cancelRequestedAt, or unchanged when it has ended or is being
// closed. Repeating it changes nothing.
//
// Errors: not_found (run_not_found).
[[nodiscard]] base::Result<model::Run> cancel_run(store::Transaction& tx, const model::RunId& id,
                                                  Context context);

// Ends a cancelling run that has no open attempt: run.cancelled, the status and the end of the turn in one
// transaction. A run that has ended is returned as it is. Without an attempt there is nothing to archive: the
// run has no artifacts.
//
// Errors: not_found (run_not_found), conflict (run_not_settleable: not cancelling, or an attempt is open).
[[nodiscard]] base::Result<model::Run> settle_cancelled(store::Transaction& tx, const model::RunId& id,
                                                        Context context, const ConversationRules& rules = {});

}  // namespace agentrouter::runs
