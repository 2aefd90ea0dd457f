#include "egress/departure.h"

namespace agentrouter::egress {

namespace {

// Lowers a flag and wakes who waits for it, also when the coroutine in between is cancelled.
class Raised {
 public:
  Raised(bool& flag, base::Event& lowered) : flag_(flag), lowered_(lowered) { flag_ = true; }
  Raised(const Raised&) = delete;
  Raised& operator=(const Raised&) = delete;
  ~Raised() {
    flag_ = false;
    lowered_.notify();
  }

 private:
  bool& flag_;
  base::Event& lowered_;
};

}  // namespace

void Departure::release() {
  held_ = false;
  released_.notify();
}

Task<Result<void>> Departure::permit() {
  while (held_) co_await released_.wait();
  co_return co_await first();
}

Task<Result<void>> Departure::first() {
  while (asking_) co_await answered_.wait();
  if (permitted_) co_return Result<void>();
  const Raised asking(asking_, answered_);
  auto allowed = co_await observer_.on_first_forward();
  permitted_ = allowed.has_value();
  co_return allowed;
}

}  // namespace agentrouter::egress
