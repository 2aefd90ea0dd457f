#pragma once
// The part of a disk that stays free while something is written there.

#include <cstdint>

#include "base/error.h"

namespace agentrouter::workspace {

class DiskReserve {
 public:
  // Of the file system of `folder` (borrowed, outlives it); 0 bytes: nothing stays free.
  DiskReserve(int folder, std::uint64_t bytes) : folder_(folder), bytes_(bytes) {}

  // Said before so many bytes, or an entry, are written. It looks at the disk the first time, and then once
  // for each `step` bytes, so that much of the reserve may be used. Errors: exhausted (disk_reserve), those
  // of fstatvfs(3).
  [[nodiscard]] base::Result<void> use(std::uint64_t bytes);
  [[nodiscard]] base::Result<void> use_entry() { return use(entry_bytes); }

 private:
  static constexpr std::uint64_t step = 16u << 20;
  static constexpr std::uint64_t entry_bytes = 4096;

  int folder_;
  std::uint64_t bytes_;
  std::uint64_t unseen_ = step;
};

}  // namespace agentrouter::workspace
