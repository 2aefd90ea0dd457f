#include "base/steady_clock.h"

#include <algorithm>

namespace agentrouter::base {

namespace {
SteadySource* simulated = nullptr;
}

SteadyClock::time_point SteadyClock::now() noexcept {
  return simulated ? simulated->now() : std::chrono::steady_clock::now();
}

void set_steady_source(SteadySource* source) noexcept {
  simulated = source;
}

SteadyClock::duration SteadyWaits::to_wait_duration(SteadyClock::duration time) noexcept {
  if (!simulated) return time;
  simulated->waits(time);
  return std::min(time, SteadyClock::duration::zero());
}

SteadyClock::duration SteadyWaits::to_wait_duration(SteadyClock::time_point time) noexcept {
  const auto now = SteadyClock::now();
  if (time <= now) return SteadyClock::duration::zero();
  // Deadline::max() less a time before the clock's epoch would not fit.
  return to_wait_duration(time == SteadyClock::time_point::max() ? SteadyClock::duration::max() : time - now);
}

}  // namespace agentrouter::base
