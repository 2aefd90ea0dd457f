#pragma once
// Whether anything of a run may leave now: not while it is held, and not before the observer has been told that
// something does. Internal to egress.

#include "base/asio.h"
#include "base/error.h"
#include "base/event.h"
#include "egress/egress.h"

namespace agentrouter::egress {

class Departure {
 public:
  Departure(base::Executor executor, Observer& observer)
      : observer_(observer), answered_(executor), released_(executor) {}

  void hold() { held_ = true; }
  void release();

  // Waits while it is held, then as first(). Errors: those of the observer.
  [[nodiscard]] Task<Result<void>> permit();
  // Asks the observer, once; after an error the next one asks again.
  [[nodiscard]] Task<Result<void>> first();

 private:
  Observer& observer_;
  bool permitted_ = false;
  bool asking_ = false;
  base::Event answered_;
  bool held_ = false;
  base::Event released_;
};

}  // namespace agentrouter::egress
