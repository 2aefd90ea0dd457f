#include "base/task_scope.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

namespace agentrouter::base {

TaskScope::TaskScope(Executor executor) : executor_(executor), idle_(executor) {
  idle_.expires_at(Deadline::max());
}

TaskScope::~TaskScope() {
  if (!children_.empty()) std::terminate();
}

void TaskScope::spawn(Task<void> task) {
  auto child = children_.emplace(children_.end());
  asio::co_spawn(executor_, std::move(task),
                 asio::bind_cancellation_slot(child->slot(), [this, child](std::exception_ptr error) {
                   if (error && !failure_) failure_ = error;
                   children_.erase(child);
                   if (children_.empty()) idle_.cancel();
                 }));
}

Task<void> TaskScope::join() {
  while (!children_.empty()) {
    boost::system::error_code woken;
    co_await idle_.async_wait(asio::redirect_error(use_task, woken));
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

Task<void> TaskScope::cancel_and_join() {
  for (auto next = children_.begin(); next != children_.end();) {
    auto child = next++;
    child->emit(asio::cancellation_type::terminal);
  }
  while (!children_.empty()) {
    boost::system::error_code woken;
    co_await idle_.async_wait(asio::redirect_error(use_task, woken));
  }
  failure_ = nullptr;
}

}  // namespace agentrouter::base
