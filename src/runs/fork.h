#pragma once
// A new conversation that begins where a turn of another one ended, with its files and its memory. Nothing is
// copied: the new conversation gets a row of its own for the same checkpoint, and whichever conversation lets
// go of it last has its bytes deleted (begin_reclaim). The other conversation is not touched.

#include "runs/budgets.h"
#include "runs/context.h"
#include "runs/queue.h"
#include "store/store.h"

namespace agentrouter::runs {

struct ForkRequest {
  model::RunId run;                  // any of the conversation, as the client named it
  std::string message;               // trimmed
  std::optional<int> at_turn = {};   // from 1 on; none: the newest turn that has left a state
  std::string idempotency_key = {};  // as the client sent it; empty for none
  policy::RunLimits limits = {};     // may only be tighter than the turn's
  std::string api_key = {};          // the name of the key that asks
};

struct Forked {
  model::Run run;  // queued: the first of its conversation
  bool replayed = false;
};

// The run inherits what a next turn of that turn would, with forked_from. A conversation that is busy can be
// forked at the turns that have ended; one that is closed or expired as long as its state is there.
//
// Errors: not_found (run_not_found, turn_not_found); conflict with reason idempotency_conflict,
// run_not_continuable (auto_review), run_busy (the turn has not ended), session_closed (the state was thrown
// away with its conversation); unavailable (checkpoint_unavailable: the turns up to there left none); those of
// admit_spending and admit_queued; not_found (run_deleted) as create_run.
[[nodiscard]] base::Result<Forked> fork_run(store::Transaction& tx, const ForkRequest& request,
                                            Context context, const SpendingRules& spending = {},
                                            const QueueRules& queue = {});

}  // namespace agentrouter::runs
