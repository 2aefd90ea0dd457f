#pragma once
// What every new run has in common, whether it is asked for, continues a conversation or forks one.

#include "runs/queue.h"

namespace agentrouter::runs {

// Inserts it, with its entry in the audit chain and the notice run.created. `by` names the key that asks for
// it, `place` where it waits. Throws what Transaction::insert_run throws.
void begin_run(store::Transaction& tx, const model::Run& run, std::string_view by, const QueuePlace& place);

}  // namespace agentrouter::runs
