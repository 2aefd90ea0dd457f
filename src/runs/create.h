#pragma once
// A run is asked for, and with it its conversation. With an idempotency key the same request gives the same
// run (idempotency.h).

#include "model/isolation.h"
#include "runs/budgets.h"
#include "runs/idempotency.h"
#include "runs/queue.h"

namespace agentrouter::runs {

struct NewRun {
  std::string input;  // the parsed and checked request body with its defaults, as JSON text
  std::string task;   // trimmed
  model::Runtime runtime;
  model::ApprovalMode approval_mode = model::ApprovalMode::automatic;
  model::Workspace workspace = {};  // as asked for; a path is checked and real
  int priority = 0;
  std::string idempotency_key;  // as the client sent it; empty for none. Stored only as its SHA-256
  model::Tags tags = {};        // sorted by name, each name once
  std::optional<std::chrono::seconds> approval_timeout = {};
  policy::RunLimits limits = {};  // as asked for
  std::string api_key = {};       // the name of the key that asks
  // What its policy demands at least, beside what `input` asks for.
  model::Isolation isolation = model::Isolation::process;
};

struct Created {
  model::Run run;
  bool replayed = false;  // an earlier request with this key made it; `run` is its present state
};

// The new run is queued and has no event yet. It belongs to the transaction's workspace, as what it begins
// with must.
//
// Errors: conflict with reason idempotency_conflict (the key was used with another body); not_found
// (run_deleted: the key has made a run that was deleted); those of settle_workspace, admit_spending and
// admit_queued.
[[nodiscard]] base::Result<Created> create_run(store::Transaction& tx, const NewRun& request, Context context,
                                               const SpendingRules& rules = {}, const QueueRules& queue = {});

}  // namespace agentrouter::runs
