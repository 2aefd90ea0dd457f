#pragma once
// Removes what an agent left: follows nothing, crosses no mount, needs neither rights inside nor deep stacks.

#include <chrono>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace agentrouter::sandbox {

struct RemoveBounds {
  std::uint64_t entries = 10'000'000;
  std::chrono::milliseconds time = std::chrono::hours(1);
  unsigned depth = 64;  // deeper folders are first moved up: the work has no depth
};

// Removes `name` below the folder `at`. True where it was never there. Folders without rights are given them
// (they are the caller's, or the caller is root).
// Errors: exhausted (a bound was reached; call again), those of unlinkat(2).
[[nodiscard]] base::Result<void> remove_tree(int at, const std::string& name,
                                             const RemoveBounds& bounds = {});

}  // namespace agentrouter::sandbox
