#include "base/pool.h"

#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <exception>

namespace agentrouter::base {

Task<void> Pool::perform(const std::function<void()>& work) {
  const Executor home = co_await this_executor;
  co_await asio::async_initiate<const asio::use_awaitable_t<Executor>, void(std::exception_ptr)>(
      [this, home, &work](auto handler) {
        auto keep_alive = asio::prefer(home, asio::execution::outstanding_work.tracked);
        threads_.post([keep_alive, &work, handler = std::move(handler)]() mutable {
          std::exception_ptr error;
          try {
            work();
          } catch (...) {
            error = std::current_exception();
          }
          asio::post(keep_alive, [handler = std::move(handler), error]() mutable { std::move(handler)(error); });
        });
      },
      use_task);
}

}  // namespace agentrouter::base
