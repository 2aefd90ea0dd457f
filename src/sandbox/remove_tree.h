#pragma once
// Removes what an agent left: follows nothing, crosses no mount, needs neither rights inside nor deep stacks.

#include <chrono>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace agentrouter::sandbox {

// Of one call. Each removes at least one entry, however low they are, and where finding that one took longer
// than `time` it goes on for as long: a tree that is removed in many calls takes at most twice what it takes
// in one.
struct RemoveBounds {
  std::uint64_t entries = 10'000'000;  // that are removed
  std::chrono::milliseconds time = std::chrono::hours(1);
  unsigned depth = 64;  // deeper folders are first moved up: the work has no depth
  std::chrono::steady_clock::time_point (*now)() = std::chrono::steady_clock::now;
};

// Removes `name` below the folder `at`. True where it was never there, or somebody else removes it meanwhile.
// Folders without rights are given them (they are the caller's, or the caller is root).
// Errors: exhausted (a bound was reached; call again), those of unlinkat(2).
[[nodiscard]] base::Result<void> remove_tree(int at, const std::string& name,
                                             const RemoveBounds& bounds = {});

}  // namespace agentrouter::sandbox
