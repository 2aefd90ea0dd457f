#pragma once
// Runs one coroutine to its end on an io_context of the calling thread.

#include <optional>

#include "base/asio.h"
#include "base/error.h"

namespace agentrouter::testing {

// `io` must outlive every store and pool that the task uses: their threads post to it.
//
// Throws what `task` throws. Other work of the context runs meanwhile; returns when the task has ended, even
// if other work is left.
void run_to_end(asio::io_context& io, base::Task<void> task);

namespace internal {

template <class T>
base::Task<void> collect(base::Task<T> task, std::optional<T>& result) {
  result.emplace(co_await std::move(task));
}

}  // namespace internal

// The same, and gives what `task` returns. Spawning is compiled once, not for each type of result: it is most
// of what a test file would take.
template <class T>
T run_task(asio::io_context& io, base::Task<T> task) {
  if constexpr (std::is_void_v<T>) {
    run_to_end(io, std::move(task));
  } else {
    std::optional<T> result;
    run_to_end(io, internal::collect(std::move(task), result));
    AGENTROUTER_CHECK(result.has_value());
    return std::move(*result);
  }
}

}  // namespace agentrouter::testing
