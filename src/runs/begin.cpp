#include "runs/begin.h"

#include "runs/audit.h"
#include "runs/outbox.h"

namespace agentrouter::runs {

void begin_run(store::Transaction& tx, const model::Run& run, std::string_view by, const QueuePlace& place) {
  tx.insert_run(run, place.share, place.lane);
  audit_run(tx, run, by);
  notify(tx, {.type = "run.created", .run = run.id, .key = "created", .at = run.queued_at});
}

}  // namespace agentrouter::runs
