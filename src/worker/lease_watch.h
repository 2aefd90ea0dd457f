#pragma once
// Leases of others, as this worker sees them. One that nobody renews for as long as it holds has run out. Judged
// by the steady clock alone: whatever happens to a wall clock, here or there, changes nothing.

#include <map>

#include "base/event.h"
#include "runs/claim.h"

namespace agentrouter::worker {

class LeaseWatch {
 public:
  explicit LeaseWatch(std::chrono::milliseconds lease) : lease_(lease) {}

  // `open` is every attempt that somebody else holds, now. Those whose leases have stood still long enough:
  // each again after another lease, if nobody has taken it by then.
  [[nodiscard]] std::vector<store::Attempt> look(const std::vector<store::Attempt>& open, base::Deadline now);
  // The store is away, for those who hold the leases, too: they cannot renew them, and each has its whole time once
  // more from now on.
  void begin_anew(base::Deadline now) {
    for (auto& [id, entry] : entries_) entry.since = now;
  }
  // When the next one may have run out; never without one.
  [[nodiscard]] base::Deadline next() const;

 private:
  struct Entry {
    runs::LeaseSeen lease;
    base::Deadline since;
  };
  std::chrono::milliseconds lease_;
  std::map<model::AttemptId, Entry> entries_;
};

}  // namespace agentrouter::worker
