#pragma once
// Time that stands still until a test moves it.

#include <atomic>

#include "base/clock.h"

namespace agentrouter::testing {

// Safe from any thread.
class ManualClock final : public base::Clock {
 public:
  explicit ManualClock(base::Time start = base::Time(std::chrono::milliseconds(1'780'000'000'000)))
      : milliseconds_(start.time_since_epoch().count()) {}

  [[nodiscard]] base::Time now() const override {
    return base::Time(std::chrono::milliseconds(milliseconds_));
  }
  void advance(std::chrono::milliseconds by) { milliseconds_ += by.count(); }

 private:
  std::atomic<std::int64_t> milliseconds_;
};

}  // namespace agentrouter::testing
