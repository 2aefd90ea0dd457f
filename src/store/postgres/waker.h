#pragma once
// Wakes a thread that waits at a connection, and times its next try after one that failed.

#include <chrono>
#include <mutex>
#include <utility>

#include "base/fd.h"
#include "base/steady_clock.h"

namespace agentrouter::store::postgres {

class Waker {
 public:
  // Throws Failure when the process has no descriptors left.
  Waker();

  // Any thread.
  void wake();
  // The waiting thread: readable from wake() to clear().
  [[nodiscard]] const base::Fd& fd() const { return pipe_.first; }
  void clear();
  // Returns at the deadline or when it is woken.
  void wait_until(base::SteadyClock::time_point deadline);

 private:
  base::FdPair pipe_;
  std::mutex mutex_;
  bool woken_ = false;  // guarded by mutex_: one byte is in the pipe
};

// 50 ms, then twice as long each time, up to 2 s.
class Backoff {
 public:
  // How long to wait after one more failure.
  [[nodiscard]] std::chrono::milliseconds next();
  void reset() { delay_ = least; }

 private:
  static constexpr std::chrono::milliseconds least{50};
  static constexpr std::chrono::milliseconds most{2000};
  std::chrono::milliseconds delay_ = least;
};

}  // namespace agentrouter::store::postgres
