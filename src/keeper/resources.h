#pragma once
// What became of the agent because of the sandbox's memory and disk, as events and failures.

#include <chrono>

#include "base/event.h"
#include "keeper/recorder.h"
#include "model/run.h"
#include "sandbox/box.h"

namespace agentrouter::keeper {

// Records limit.exceeded, and gives the failure (disk_limit) with which the run ends. Throws as Recorder
// does.
[[nodiscard]] model::RunFailure record_disk_stop(Recorder& recorder, const sandbox::DiskStop& stop);

// Processes that were killed for memory: each of them is told once, in sandbox.memory_kill.
class MemoryKills {
 public:
  // `total`: of this turn, so far. Throws as Recorder does.
  void see(Recorder& recorder, std::uint64_t total);

 private:
  std::uint64_t told_ = 0;
};

// Whether processes were killed for memory just now. Groups count kills and do not say whose they are: one
// that was long before the agent's end was not the agent's. Ask it at least at each next_look().
class RecentKills {
 public:
  static constexpr std::chrono::seconds apart{1};

  void begin(base::Deadline now, std::uint64_t kills);
  void look(base::Deadline now, std::uint64_t kills);
  [[nodiscard]] base::Deadline next_look() const { return next_; }
  // More than there were at the look before the last: a second ago, or a bit longer.
  [[nodiscard]] bool are_more(std::uint64_t kills) const { return kills > before_; }

 private:
  std::uint64_t before_ = 0, last_ = 0;
  base::Deadline next_ = base::Deadline::max();
};

}  // namespace agentrouter::keeper
