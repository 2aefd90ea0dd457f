#pragma once
// Throws away what nobody may use any more, and ends what nobody can carry out: of all workers of a store one does it
// (WorkerConfig::may_tidy), and each looks after its own layers and trees. It throws away the checkpoints of conversations that are closed or whose time is
// over, what deleted runs have left, runs that are over what may be kept (retention.h), idempotency keys and uploads
// whose time is over, layers that nothing goes on from, and base trees that
// nothing stands on when there is no more room for them, archives of trees, questions that nobody waits for. Sleeps until the next one is due and is woken when that may have changed; nothing
// polls.

#include "base/event.h"
#include "worker/retention.h"
#include "worker/run_driver.h"
#include "worker/unplaced.h"

namespace agentrouter::worker {

class Reclaimer {
 public:
  // `context` outlives it.
  explicit Reclaimer(DriverContext& context);

  // Until it is cancelled. Each step may be cut off by a crash and is done again at the next start: first the
  // conversation is closed, then the bytes are deleted, then the record says so.
  base::Task<void> run();
  void wake() {
    due_ = true;
    wake_.notify();
  }

 private:
  base::Task<bool> reclaim_due();
  base::Task<void> reclaim(model::RunId conversation);
  base::Task<void> purge_keys();
  base::Task<void> purge_uploads();
  base::Task<void> trim_trees();
  base::Task<bool> tidy_shared();
  base::Task<void> remove_kept_trees();
  base::Task<void> remove_stale_requests();
  base::Task<base::Deadline> next_look();

  DriverContext& context_;
  Retention retention_;
  Unplaced unplaced_;
  base::Event wake_;
  bool due_ = false;  // woken while it was at work
};

}  // namespace agentrouter::worker
