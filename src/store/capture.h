#pragma once
// Carries exceptions from the store's threads to whoever waits.

#include <exception>

#include "base/error.h"

namespace agentrouter::store {

// Runs `call` and gives what it threw, or null.
template <class Call>
std::exception_ptr capture(Call call) noexcept {
  try {
    call();
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

// What a closed store answers.
[[nodiscard]] inline std::exception_ptr store_closed() {
  return std::make_exception_ptr(
      base::Failure({base::Code::unavailable, "cannot use the store: it is closed", "store_closed"}));
}

}  // namespace agentrouter::store
