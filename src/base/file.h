#pragma once
// Whole files, written so that a crash leaves the old one or the new one.

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::base {

// Errors: not_found, denied; exhausted when over `max_bytes`.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes = 64u << 20);

// Temporary name in the same folder, fsync, rename, fsync of the folder. Durable when it returns.
[[nodiscard]] Result<void> write_file_durably(const std::filesystem::path& path, std::string_view bytes,
                                              unsigned mode = 0600);

// mkdir -p for folders of ours: mode 0700 for each one made.
[[nodiscard]] Result<void> make_directories(const std::filesystem::path& path);

[[nodiscard]] Result<Fd> open_directory(const std::filesystem::path& path);
[[nodiscard]] Result<void> sync_directory(const std::filesystem::path& path);

// "/proc/self/fd/<fd>/<name>": a way to name a unix socket under a folder of any length, since sun_path has
// only 108 bytes. Valid as long as `directory` is open.
[[nodiscard]] std::string path_through_fd(int directory, std::string_view name);

}  // namespace agentrouter::base
