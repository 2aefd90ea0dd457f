#pragma once
// The one way to start a background coroutine.

#include <exception>
#include <list>

#include "base/asio.h"
#include "base/event.h"

namespace agentrouter::base {

// Owns coroutines. Children run on the scope's executor, and none outlives the scope.
//
// Declare it last in the owning class: children may use every member above it. Whoever owns the scope must
// co_await join() or cancel_and_join() before destroying it; the destructor ends the process otherwise,
// because a child would hold dangling references.
class TaskScope {
 public:
  explicit TaskScope(Executor executor);
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope();

  // Starts `task`. A task that throws makes the next join() throw the same exception.
  void spawn(Task<void> task);
  [[nodiscard]] std::size_t size() const { return children_.size(); }

  // Waits for every child. Rethrows the first failure.
  Task<void> join();
  // Asks every child to stop, then waits for them. What a cancelled child throws is dropped.
  Task<void> cancel_and_join();

 private:
  Executor executor_;
  Timer idle_;
  std::list<asio::cancellation_signal> children_;
  std::exception_ptr failure_;
};

}  // namespace agentrouter::base
