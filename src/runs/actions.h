#pragma once
// The life of an action is told by its events; here they are folded into one record as they are appended, so
// that nobody has to read a run's events to know its actions.

#include "store/store.h"

namespace agentrouter::runs {

// Appends, and folds a control event (action.proposed ... execution.failed) into its action's record. Every
// use case appends with this. Throws what Transaction::append throws.
model::Event append_event(store::Transaction& tx, const model::RunId& run, const model::EventDraft& draft);

}  // namespace agentrouter::runs
