#include "keeper/disk_hold.h"

#include "base/log.h"

namespace agentrouter::keeper {

base::Task<void> DiskHold::watch(std::vector<AgentLog*> logs) {
  for (;;) {
    while (!is_full(logs)) co_await full_.wait();
    needs_.hold(Hold::hold);
    base::log(base::LogLevel::warn, "the disk is full: the run waits", {});
    std::optional<base::Error> trouble;
    bool relieved = false;
    const auto begun = base::SteadyClock::now();
    try {
      needs_.recorder.event("run.waiting", model::Visibility::open,
                            {{"reason", "storage_full"},
                             {"message", "The server's disk is full: the run waits until it has room again"},
                             {"wait", ++waits_}});
      relieved = co_await wait(logs);
      if (relieved) {
        const auto took = base::SteadyClock::now() - begun;
        const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
        needs_.recorder.event("run.resumed", model::Visibility::open, {{"waitedMs", waited}});
      }
    } catch (const base::Failure& failure) {
      trouble = failure.error();
      relieved = false;
    }
    if (!relieved) {
      needs_.recorder.begin_reserve();
      needs_.give_up({"storage_full", trouble ? trouble->message : "The server's disk stayed full", {}});
      co_return;
    }
    needs_.hold(Hold::release);
  }
}

// Whether there was room in time.
base::Task<bool> DiskHold::wait(const std::vector<AgentLog*>& logs) {
  const auto deadline = base::after(needs_.patience.most);
  while (!relieve(logs)) {
    if (base::passed(deadline)) co_return false;
    co_await base::sleep_for(needs_.patience.look_again);
  }
  co_return true;
}

bool DiskHold::is_full(const std::vector<AgentLog*>& logs) const {
  return needs_.recorder.is_tight() ||
         std::any_of(logs.begin(), logs.end(), [](const AgentLog* log) { return log->is_behind(); });
}

bool DiskHold::relieve(const std::vector<AgentLog*>& logs) {
  bool room = needs_.recorder.relieve();
  for (auto* log : logs) room = log->catch_up() && room;
  return room;
}

}  // namespace agentrouter::keeper
