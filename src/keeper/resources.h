#pragma once
// What became of the agent because of the sandbox's memory and disk, as events and failures.

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

}  // namespace agentrouter::keeper
