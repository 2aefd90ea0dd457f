#pragma once
// Threads for calls that block: database, files, processes. The coroutine that asks stays on its executor.

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>

#include "base/asio.h"
#include "base/event.h"

namespace agentrouter::base {

class Pool {
 public:
  explicit Pool(std::size_t threads) : threads_(threads) {}
  ~Pool() { threads_.join(); }

  // Runs `work` on a pool thread and resumes with what it returns or throws. `work` must not touch what
  // belongs to an executor; it captures by reference or plain values, because g++ 12 destroys a closure in a
  // co_await expression twice. Cancelling the caller does not interrupt `work`: the caller waits for its end.
  template <class Work>
  auto run(Work work) -> Task<std::invoke_result_t<Work&>> {
    using T = std::invoke_result_t<Work&>;
    using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
    static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
    const Executor home = co_await this_executor;
    auto result = co_await asio::async_initiate<const asio::use_awaitable_t<Executor>,
                                                void(std::exception_ptr, std::optional<Stored>)>(
        [this, home, &work](auto handler) {
          auto keep_alive = asio::prefer(home, asio::execution::outstanding_work.tracked);
          asio::post(threads_, [keep_alive, &work, handler = std::move(handler)]() mutable {
            std::exception_ptr error;
            std::optional<Stored> value;
            try {
              if constexpr (std::is_void_v<T>) {
                work();
                value.emplace();
              } else {
                value.emplace(work());
              }
            } catch (...) {
              error = std::current_exception();
            }
            asio::post(keep_alive, [handler = std::move(handler), error, value = std::move(value)]() mutable {
              std::move(handler)(error, std::move(value));
            });
          });
        },
        use_task);
    if constexpr (!std::is_void_v<T>) co_return std::move(*result);
  }

 private:
  asio::thread_pool threads_;
};

}  // namespace agentrouter::base
