#pragma once
// A page of a workspace's files. A folder comes before what is in it, names in byte order, so that the path
// that a page ends with says where the next one begins, whatever has changed meanwhile.

#include "workspace/file_request.h"
#include "workspace/file_view.h"

namespace agentrouter::workspace {

struct FileListLimits {
  std::uint64_t page_bytes = 1u << 20;  // of the entries' texts; a page has one entry at least
  std::uint64_t names = 2'000'000;      // looked at
  unsigned depth = 256;                 // folders below it are not entered
  std::chrono::milliseconds compare_time{5'000};  // for contents of unchanged size; then " M" is said
  std::chrono::milliseconds wall_time{30'000};
};

// The text of the page: {"items":[...], "nextCursor"?, "truncated"?}. `truncated`: a limit was reached or
// something could not be read, so that entries are missing.
//
// Errors: not_found (file_not_found: the folder), conflict (not_a_folder).
[[nodiscard]] base::Result<std::string> list_files(const FileView& view, const FileRequest& request,
                                                   const FileListLimits& limits = {});

// The error of what is no regular file: not_a_file with {type, target?, targetEncoding?}. A link is described,
// never followed.
[[nodiscard]] base::Error not_a_file(const MergedFolder& parent, const std::string& name,
                                     const MergedFolder::Found& found);

}  // namespace agentrouter::workspace
