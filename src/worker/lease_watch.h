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

  // `open` is every attempt that somebody else holds, now. Those whose leases have stood still long enough;
  // the others are remembered until the next look.
  [[nodiscard]] std::vector<store::Attempt> look(const std::vector<store::Attempt>& open, base::Deadline now);
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
