#pragma once
// The clock of every wait: one that nobody sets.

#include <chrono>

namespace agentrouter::detail {

using SteadyTime = std::chrono::steady_clock::time_point;

[[nodiscard]] inline SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace agentrouter::detail
