#include "base/event.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <list>
#include <memory>

namespace agentrouter::base {

namespace {

Task<void> throw_if_cancelled() {
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
}

}  // namespace

Task<void> Event::wait() {
  boost::system::error_code woken;
  co_await timer_.async_wait(asio::redirect_error(use_task, woken));
  co_await throw_if_cancelled();
}

Task<bool> Event::wait_until(Deadline deadline) {
  // All waiters share one timer for notify(); a waiter with a deadline arms a second one that wakes them
  // all, and they re-check their condition as after any wake-up.
  if (SteadyClock::now() >= deadline) co_return false;
  // A handler that is already queued runs after this frame, and perhaps this event, is gone: it asks first.
  const auto armed = std::make_shared<bool>(true);
  struct Disarm {
    std::shared_ptr<bool> armed;
    ~Disarm() { *armed = false; }
  } const disarm{armed};
  Timer limit(timer_.get_executor(), deadline);
  limit.async_wait([this, armed](boost::system::error_code error) {
    if (!error && *armed) timer_.cancel();
  });
  boost::system::error_code woken;
  co_await timer_.async_wait(asio::redirect_error(use_task, woken));
  co_await throw_if_cancelled();
  co_return SteadyClock::now() < deadline;
}

Task<void> sleep_for(std::chrono::steady_clock::duration duration) {
  Timer timer(co_await this_executor, duration);
  co_await timer.async_wait(use_task);
}

}  // namespace agentrouter::base
