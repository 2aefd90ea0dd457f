#pragma once
// What every new run has in common, whether it is asked for, continues a conversation or forks one.

#include "store/store.h"

namespace agentrouter::runs {

// Inserts it, with its entry in the audit chain and the notice run.created. `by` names the key that asks for
// it, `share` who it waits with. Throws what Transaction::insert_run throws.
void begin_run(store::Transaction& tx, const model::Run& run, std::string_view by, std::string_view share);

}  // namespace agentrouter::runs
