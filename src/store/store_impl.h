#pragma once
// The templates of store/store.h: they carry a closure to the store's threads and its result back.

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

}  // namespace internal

template <class T, class Submit>
base::Task<T> Store::perform(Submit submit) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
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
  if constexpr (!std::is_void_v<T>) co_return submit.take();
}

namespace internal {

template <class T>
struct Holder {
  std::optional<T> value;
};
template <>
struct Holder<void> {};

// Runs `work` and keeps its result; says whether the changes stay.
template <class T, class Work, class Access>
bool run_and_keep(Holder<T>& holder, Work& work, Access& access) {
  if constexpr (std::is_void_v<T>) {
    work(access);
    return true;
  } else {
    holder.value.emplace(work(access));
    return !IsErrorResult<T>::check(*holder.value);
  }
}

}  // namespace internal

template <class Work>
auto Store::write(Work work) -> base::Task<std::invoke_result_t<Work&, Transaction&>> {
  using T = std::invoke_result_t<Work&, Transaction&>;
  struct Submit {
    Store* store;
    Work* work;
    internal::Holder<T>* holder;
    void operator()(Done done) {
      store->submit_write([w = work, h = holder](Transaction& tx) { return internal::run_and_keep<T>(*h, *w, tx); },
                          std::move(done));
    }
    auto take() { return std::move(*holder->value); }
  };
  internal::Holder<T> holder;
  if constexpr (std::is_void_v<T>) {
    co_await perform<T>(Submit{this, &work, &holder});
  } else {
    co_return co_await perform<T>(Submit{this, &work, &holder});
  }
}

template <class Work>
auto Store::read(Work work) -> base::Task<std::invoke_result_t<Work&, Reader&>> {
  using T = std::invoke_result_t<Work&, Reader&>;
  struct Submit {
    Store* store;
    Work* work;
    internal::Holder<T>* holder;
    void operator()(Done done) {
      store->submit_read([w = work, h = holder](Reader& reader) { (void)internal::run_and_keep<T>(*h, *w, reader); },
                         std::move(done));
    }
    auto take() { return std::move(*holder->value); }
  };
  internal::Holder<T> holder;
  if constexpr (std::is_void_v<T>) {
    co_await perform<T>(Submit{this, &work, &holder});
  } else {
    co_return co_await perform<T>(Submit{this, &work, &holder});
  }
}

}  // namespace agentrouter::store
