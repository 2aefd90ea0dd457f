#pragma once
// A level-triggered wake-up between coroutines of one executor, and a one-shot timer with a deadline.

#include <chrono>

#include "base/asio.h"
#include "base/steady_clock.h"

namespace agentrouter::base {

using Timer = asio::basic_waitable_timer<SteadyClock, SteadyWaits, Executor>;
using Deadline = SteadyClock::time_point;

inline Deadline after(std::chrono::steady_clock::duration time) {
  return SteadyClock::now() + time;
}
inline bool passed(Deadline deadline) {
  return SteadyClock::now() >= deadline;
}

// Waiters wake when `notify` is called after they began to wait. Re-check your condition in a loop.
// Not thread-safe: notify from another thread through asio::post.
class Event {
 public:
  explicit Event(Executor executor) : timer_(executor, Deadline::max()) {}

  void notify() { timer_.cancel(); }
  // Resumes after notify(); throws boost::system::system_error(operation_aborted) if the task was cancelled.
  Task<void> wait();
  // True when notified, false at the deadline.
  Task<bool> wait_until(Deadline deadline);

 private:
  Timer timer_;
};

// Resumes after `duration`; throws when the task is cancelled.
Task<void> sleep_for(std::chrono::steady_clock::duration duration);

}  // namespace agentrouter::base
