#pragma once
// A deadline that is cheap to move: the timer behind it is only touched when the deadline comes nearer, or
// when it fires too early. Internal to net.

#include <functional>
#include <memory>

#include "base/asio.h"
#include "base/event.h"

namespace agentrouter::net {

class Alarm {
 public:
  // `fire` runs on `executor` when a deadline passes, and not after this object is gone.
  Alarm(base::Executor executor, std::function<void()> fire);
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;
  ~Alarm();

  // Replaces the deadline before.
  void set(base::Deadline deadline);
  // Forgets the deadline. The timer may still run, and keeps the io_context running.
  void clear();
  // Forgets the deadline and stops the timer.
  void cancel();
  // Whether the deadline given last has passed before clear().
  [[nodiscard]] bool fired() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace agentrouter::net
