#pragma once
// Removes what deleted runs have left, and deletes runs that are over what may be kept. In small pieces, each
// a transaction of its own, so that nobody waits for it; bytes first, then the row that names them, so that a
// crash leaves nothing that is not found again.

#include "runs/delete.h"
#include "worker/run_driver.h"

namespace agentrouter::worker {

class Retention {
 public:
  // `context` outlives it.
  explicit Retention(DriverContext& context) : context_(context) {}

  // As much as is due now, but not without end: true when there is more. Throws Failure.
  base::Task<bool> sweep();
  // A run could not be deleted yet: its attempt, perhaps another worker's, is not over.
  [[nodiscard]] bool is_held_up() const { return is_held_up_; }
  // When the next run comes of age; none when no rule waits for a time.
  [[nodiscard]] std::optional<base::Time> next_look() const { return next_look_; }

 private:
  base::Task<int> remove_deleted();
  base::Task<void> remove(store::DeletedRun run);
  base::Task<void> remove_state(const store::DeletedRun& run);
  base::Task<void> remove_artifacts(const store::DeletedRun& run);
  base::Task<int> delete_overdue();

  DriverContext& context_;
  std::optional<base::Time> next_look_;
  bool is_held_up_ = false;
};

}  // namespace agentrouter::worker
