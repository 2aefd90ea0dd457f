#pragma once
// The life of an action is told by its events; here they are folded into one record as they are appended, so
// that nobody has to read a run's events to know its actions.

#include "store/store.h"

namespace agentrouter::runs {

// Appends, and folds a control event (action.proposed ... execution.failed) into its action's record, adds
// what belongs there to the audit chain (audit.h) and queues what webhooks are told (outbox.h). Every use case
// appends with this. `who` names for the chain who decided, where the payload does not say it. Throws what
// Transaction::append throws.
model::Event append_event(store::Transaction& tx, const model::RunId& run, const model::EventDraft& draft,
                          std::string_view who = {});

}  // namespace agentrouter::runs
