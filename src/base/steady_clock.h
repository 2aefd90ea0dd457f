#pragma once
// The clock of every deadline and timer. It is the machine's steady clock, unless a simulation has put its own
// in place: then `now()` stands still until the simulation moves it, and no timer ever waits for real time.

#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>

namespace agentrouter::base {

struct SteadyClock {
  using duration = std::chrono::steady_clock::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr bool is_steady = true;

  [[nodiscard]] static time_point now() noexcept;
};

// A simulation's time. One at a time in a process, put in place before any timer exists and removed after the
// last one is gone; the clock and the timers that follow it then belong to one thread.
class SteadySource {
 public:
  virtual ~SteadySource() = default;
  [[nodiscard]] virtual SteadyClock::time_point now() const noexcept = 0;
  // An event loop is about to wait this long for its next timer.
  virtual void waits(SteadyClock::duration time) noexcept = 0;
};
// Null: the machine's.
void set_steady_source(SteadySource* source) noexcept;

// How long an event loop waits for its timers; under a simulation never.
struct SteadyWaits {
  [[nodiscard]] static SteadyClock::duration to_wait_duration(SteadyClock::duration time) noexcept;
  [[nodiscard]] static SteadyClock::duration to_wait_duration(SteadyClock::time_point time) noexcept;
};

}  // namespace agentrouter::base
