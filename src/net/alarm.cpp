#include "net/alarm.h"

namespace agentrouter::net {

// Shared with the timer's handler, which may still be queued when the Alarm is gone.
struct Alarm::State : std::enable_shared_from_this<State> {
  State(base::Executor executor, std::function<void()> on_fire) : timer(executor), fire(std::move(on_fire)) {}

  void arm() {
    armed = deadline;
    timer.expires_at(deadline);
    timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->wake();
    });
  }

  void wake() {
    armed = base::Deadline::max();
    if (!fire || deadline == base::Deadline::max()) return;
    if (base::SteadyClock::now() < deadline) return arm();
    deadline = base::Deadline::max();
    fired = true;
    fire();
  }

  base::Timer timer;
  std::function<void()> fire;
  base::Deadline deadline = base::Deadline::max();
  base::Deadline armed = base::Deadline::max();
  bool fired = false;
};

Alarm::Alarm(base::Executor executor, std::function<void()> fire)
    : state_(std::make_shared<State>(executor, std::move(fire))) {}

Alarm::~Alarm() {
  state_->fire = nullptr;
  state_->timer.cancel();
}

void Alarm::set(base::Deadline deadline) {
  state_->deadline = deadline;
  state_->fired = false;
  if (deadline < state_->armed) state_->arm();
}

void Alarm::clear() {
  state_->deadline = base::Deadline::max();
}

void Alarm::cancel() {
  state_->deadline = state_->armed = base::Deadline::max();
  state_->timer.cancel();
}

bool Alarm::fired() const {
  return state_->fired;
}

}  // namespace agentrouter::net
