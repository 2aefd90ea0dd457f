#pragma once
// A workspace as an archive, written as it is read: nothing is kept, so its size does not matter. Files,
// folders and links, with permission bits and times; of hard links each name is a file. What cannot be packed
// is named in a last entry, `agentrouter-left-out.txt`.

#include "workspace/file_request.h"
#include "workspace/file_view.h"

namespace agentrouter::workspace {

struct FileArchiveLimits {
  std::uint64_t bytes = 8ull << 30;       // of all files together
  std::uint64_t file_bytes = 4ull << 30;  // a larger one is left out
  std::uint64_t entries = 1'000'000;
  unsigned depth = 256;  // folders below it are left out
  std::chrono::milliseconds wall_time{900'000};
};

// The folder's files, or those that the file index names, except deletions.
// Errors: exhausted (bytes, entries), timeout, those of writing.
[[nodiscard]] base::Result<void> archive_files(const FileView& view, const FileRequest& request, FrameWriter& out,
                                               const FileArchiveLimits& limits = {});

}  // namespace agentrouter::workspace
