#pragma once
// A folder of one's own as an archive for an upload: what git would take from it, without its history.
//
// Left out: `.git` in any case, what .gitignore files ignore unless the folder's index tracks it, and what an
// upload refuses anyway: sockets, pipes and devices, links that lead out of the folder. Permission bits and
// times are kept, owners are not.

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace agentrouter::workspace {

struct PackLimits {
  std::uint64_t bytes = 4ull << 30;  // of all files together, and of the archive
  std::uint64_t entries = 200'000;
  unsigned depth = 256;  // of folders
};

struct PackReport {
  std::uint64_t bytes = 0;            // of the archive
  std::uint64_t files = 0;            // files and links
  std::vector<std::string> left_out;  // links that lead out, and what is neither file, folder nor link
};

// Writes `folder` (borrowed) to `out` (borrowed) as a zstd-compressed tar archive. Equal folders give equal
// bytes.
//
// Errors: exhausted (a limit; the message names the path), unavailable (a file changed meanwhile), those of
// reading and writing. The output is then of no use.
[[nodiscard]] base::Result<PackReport> pack_folder(int folder, int out, const PackLimits& limits = {});

}  // namespace agentrouter::workspace
