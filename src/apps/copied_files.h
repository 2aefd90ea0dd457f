#pragma once
// Copying files and folders durably, with the SHA-256 of what went over.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace agentrouter::apps {

struct CopiedFile {
  std::int64_t bytes = 0;
  std::string sha256;
};

// Of a regular file. Errors: not_found, those of reading.
[[nodiscard]] base::Result<CopiedFile> digest_of(const std::filesystem::path& file);

// `to` appears whole and durable, with this mode, in a folder that is there. Links are not followed.
// Errors: not_found, those of reading and writing.
[[nodiscard]] base::Result<CopiedFile> copy_durably(const std::filesystem::path& from,
                                                    const std::filesystem::path& to, unsigned mode = 0600);

// A folder with everything below: files, folders, symbolic links, modes, times of change, and owners where this
// process may give them. `to` must not be there. Errors: unsupported (anything else is in it), those of reading and
// writing; what was made is left.
[[nodiscard]] base::Result<void> copy_tree(const std::filesystem::path& from, const std::filesystem::path& to);

// Over names, kinds, modes, links' targets and bytes of everything below, in an order of its own.
[[nodiscard]] base::Result<CopiedFile> digest_of_tree(const std::filesystem::path& folder);

// The paths of all regular files below, relative and sorted. Errors: those of reading.
[[nodiscard]] base::Result<std::vector<std::string>> files_below(const std::filesystem::path& folder);

}  // namespace agentrouter::apps
