#pragma once
// The templates of store/store.h: they carry a closure to the store's threads and its result back.

#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>
#include <variant>

#include "store/store.h"

namespace agentrouter::store {

namespace internal {

template <class T>
struct IsErrorResult {
  static bool check(const T&) { return false; }
};
template <class T>
struct IsErrorResult<base::Result<T>> {
  static bool check(const base::Result<T>& result) { return !result.has_value(); }
};

// Where the result of a closure waits for the task that asked.
template <class T>
struct Holder {
  std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> value;

  // Runs `work` and keeps its result; says whether the changes stay.
  template <class Work, class Access>
  bool run(Work& work, Access& access) {
    if constexpr (std::is_void_v<T>) {
      work(access);
      return true;
    } else {
      value.emplace(work(access));
      return !IsErrorResult<T>::check(*value);
    }
  }
};

}  // namespace internal

template <class Submit>
base::Task<void> Store::perform(Submit submit) {
  const base::Executor home = co_await base::this_executor;
  co_await asio::async_initiate<const asio::use_awaitable_t<base::Executor>, void(std::exception_ptr)>(
      [home, &submit](auto handler) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        auto keep_alive = asio::prefer(home, asio::execution::outstanding_work.tracked);
        submit([shared, keep_alive](std::exception_ptr error) {
          asio::post(keep_alive, [shared, error]() mutable { std::move (*shared)(error); });
        });
      },
      base::use_task);
}

template <class Work>
auto Store::write(Work work) -> base::Task<std::invoke_result_t<Work&, Transaction&>> {
  using T = std::invoke_result_t<Work&, Transaction&>;
  static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
  internal::Holder<T> holder;
  co_await perform([this, &work, &holder](Done done) {
    submit_write([&work, &holder](Transaction& tx) { return holder.run(work, tx); }, std::move(done));
  });
  if constexpr (!std::is_void_v<T>) co_return std::move(*holder.value);
}

template <class Work>
auto Store::read(Work work) -> base::Task<std::invoke_result_t<Work&, Reader&>> {
  using T = std::invoke_result_t<Work&, Reader&>;
  static_assert(std::is_trivially_destructible_v<Work>, "capture by reference: the caller waits");
  internal::Holder<T> holder;
  co_await perform([this, &work, &holder](Done done) {
    submit_read([&work, &holder](Reader& reader) { (void)holder.run(work, reader); }, std::move(done));
  });
  if constexpr (!std::is_void_v<T>) co_return std::move(*holder.value);
}

}  // namespace agentrouter::store
