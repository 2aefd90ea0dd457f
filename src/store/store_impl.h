#pragma once
// The templates of store/store.h: they keep the result of a closure until the task that asked goes on.

#include <functional>
#include <optional>
#include <type_traits>
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

template <class T>
base::Task<T> Store::write_for(std::function<T(Transaction&)> work) {
  internal::Holder<T> holder;
  const WriteWork step = [&work, &holder](Transaction& tx) { return holder.run(work, tx); };
  co_await perform_write(step);
  if constexpr (!std::is_void_v<T>) co_return std::move(*holder.value);
}

template <class T>
base::Task<T> Store::read_for(std::function<T(Reader&)> work) {
  internal::Holder<T> holder;
  const ReadWork step = [&work, &holder](Reader& reader) { (void)holder.run(work, reader); };
  co_await perform_read(step);
  if constexpr (!std::is_void_v<T>) co_return std::move(*holder.value);
}

}  // namespace agentrouter::store
