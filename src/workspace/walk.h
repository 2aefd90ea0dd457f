#pragma once
// Finds what may differ between the base tree and the layers above it, by walking those layers and,
// for what it hides, the base. Contents are not compared here.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workspace/ignore.h"
#include "workspace/layer.h"
#include "workspace/stack.h"
#include "workspace/tracked.h"

namespace agentrouter::workspace {

class ArchivedFolder;

// A path whose content may have changed. Nodes that git cannot record count as absent; not both are absent.
struct Change {
  std::string path;
  Node before;
  Node after;
};

struct WalkLimits {
  std::uint64_t entries = 2'000'000;  // looked at
  std::uint64_t changes = 200'000;
  unsigned depth = 256;
  std::uint64_t git_index_bytes = 256ull << 20;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

struct Changes {
  std::vector<Change> list;  // by path, in byte order
  bool truncated = false;    // a limit was reached or something could not be read
};

[[nodiscard]] Changes find_changes(const Stack& upper, const Folder& lower, const WalkLimits& limits);
// The same for the upper layer that a checkpoint holds.
[[nodiscard]] Changes find_changes(const ArchivedFolder& upper, const Folder& lower,
                                   const WalkLimits& limits);

// What git takes for its own folder: `.git` in any case.
[[nodiscard]] bool is_git_folder(std::string_view name);

}  // namespace agentrouter::workspace
