#pragma once
// The shape of everything asynchronous: one io_context per thread, objects belong to one, and a coroutine
// is a `Task` on the concrete executor of that context.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentrouter::asio {
using namespace boost::asio;
}

namespace agentrouter::base {

using Executor = asio::io_context::executor_type;

template <class T>
using Task = asio::awaitable<T, Executor>;

// The completion token of a Task: co_await timer.async_wait(use_task).
inline constexpr asio::use_awaitable_t<Executor> use_task{};

// The executor that this coroutine runs on: co_await this_executor.
inline constexpr asio::this_coro::executor_t this_executor{};

}  // namespace agentrouter::base
