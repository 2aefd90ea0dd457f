#include "store/postgres/waker.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

namespace agentrouter::store::postgres {

Waker::Waker() : pipe_(base::value_or_throw(base::make_pipe())) {}

void Waker::wake() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(woken_, true)) return;
  const char byte = 0;
  (void)!::write(pipe_.second.get(), &byte, 1);
}

void Waker::clear() {
  const std::lock_guard lock(mutex_);
  char byte = 0;
  if (std::exchange(woken_, false)) (void)!::read(pipe_.first.get(), &byte, 1);
}

void Waker::wait_until(base::SteadyClock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - base::SteadyClock::now());
  pollfd source{pipe_.first.get(), POLLIN, 0};
  if (left.count() > 0) ::poll(&source, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
}

std::chrono::milliseconds Backoff::next() {
  return std::exchange(delay_, std::min(delay_ * 2, most));
}

}  // namespace agentrouter::store::postgres
