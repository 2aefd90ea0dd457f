#pragma once
// Runs one coroutine to its end on an io_context of the calling thread.

#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <optional>

#include "base/asio.h"
#include "base/error.h"

namespace agentrouter::testing {

namespace internal {

// The context stops itself when a store's thread lets go of the work of an earlier task: begin again.
inline void run_one(asio::io_context& io) {
  if (io.run_one() == 0) io.restart();
}

}  // namespace internal

// `io` must outlive every store and pool that the task uses: their threads post to it.
//
// Gives what `task` returns or throws what it throws. Other work of the context runs meanwhile; returns when
// the task has ended, even if other work is left.
template <class T>
T run_task(asio::io_context& io, base::Task<T> task) {
  std::exception_ptr failure;
  bool done = false;
  if constexpr (std::is_void_v<T>) {
    asio::co_spawn(io.get_executor(), std::move(task), [&](std::exception_ptr error) {
      failure = error;
      done = true;
    });
    while (!done) internal::run_one(io);
    if (failure) std::rethrow_exception(failure);
  } else {
    std::optional<T> result;
    asio::co_spawn(io.get_executor(), std::move(task), [&](std::exception_ptr error, T value) {
      failure = error;
      done = true;
      if (!error) result.emplace(std::move(value));
    });
    while (!done) internal::run_one(io);
    if (failure) std::rethrow_exception(failure);
    AGENTROUTER_CHECK(result.has_value());
    return std::move(*result);
  }
}

}  // namespace agentrouter::testing
