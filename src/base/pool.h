#pragma once
// Threads for calls that block: database, files, processes. The coroutine that asks stays on its executor.

#include <cstddef>
#include <functional>
#include <optional>
#include <type_traits>
#include <variant>

#include "base/asio.h"
#include "base/event.h"
#include "base/threads.h"

namespace agentrouter::base {

class Pool {
 public:
  explicit Pool(std::size_t threads) : threads_(threads) {}

  // Runs `work` on a pool thread and resumes with what it returns or throws. `work` must not touch what
  // belongs to an executor; it captures by reference or plain values, because g++ 12 destroys a closure in a
  // co_await expression twice. Cancelling the caller does not interrupt `work`: the caller waits for its end.
  template <class Work>
  auto run(Work work) -> Task<std::invoke_result_t<Work&>> {
    static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
    return run_for<std::invoke_result_t<Work&>>(work);
  }

 private:
  // One coroutine for each kind of result, not for each closure.
  template <class T>
  Task<T> run_for(std::function<T()> work) {
    std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> value;
    const std::function<void()> step = [&work, &value] {
      if constexpr (std::is_void_v<T>) {
        work();
        value.emplace();
      } else {
        value.emplace(work());
      }
    };
    co_await perform(step);
    if constexpr (!std::is_void_v<T>) co_return std::move(*value);
  }
  Task<void> perform(const std::function<void()>& work);

  Threads threads_;
};

}  // namespace agentrouter::base
