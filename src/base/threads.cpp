#include "base/threads.h"

namespace agentrouter::base {

namespace {
ThreadSource* simulated_threads = nullptr;
}

void set_thread_source(ThreadSource* source) noexcept {
  simulated_threads = source;
}

Threads::Threads(std::size_t count) {
  if (simulated_threads == nullptr) {
    threads_.emplace(count);
  } else {
    simulated_threads->begin(*this, count);
  }
}

void Threads::simulate(Work work, std::chrono::milliseconds delay) {
  if (simulated_threads != nullptr) simulated_threads->post(*this, std::move(work), delay);
}

void Threads::post_after(std::chrono::milliseconds delay, Work work) {
  if (!threads_) return simulate(std::move(work), delay);
  const std::lock_guard lock(mutex_);
  if (joined_) return;
  const auto timer = delayed_.emplace(delayed_.end(), threads_->get_executor(), delay);
  timer->async_wait([this, timer, work = std::move(work)](boost::system::error_code dropped) {
    if (dropped) return;
    {
      const std::lock_guard done(mutex_);
      if (joined_) return;
      delayed_.erase(timer);
    }
    work();
  });
}

void Threads::join() {
  if (!threads_) {
    if (simulated_threads != nullptr) simulated_threads->join(*this);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    joined_ = true;
    for (auto& timer : delayed_) timer.cancel();
  }
  threads_->join();
}

}  // namespace agentrouter::base
