#pragma once
// What belongs to a backup: DIR/manifest.json, {"manifest": {...}, "sha256": of the canonical text of that}.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace agentrouter::apps {

inline constexpr const char* manifest_name = "manifest.json";
inline constexpr const char* database_name = "agentrouter.db";

struct ManifestEntry {
  std::string path;
  std::int64_t bytes = 0;
  std::string sha256;
};

struct Manifest {
  std::string made_at;
  ManifestEntry database;            // path below DIR
  std::vector<ManifestEntry> blobs;  // by key
  std::vector<ManifestEntry> trees;  // by name; sha256 of copied_files.h
  std::vector<ManifestEntry> files;  // by path in the data folder
  std::vector<std::string> lost;     // blobs and trees that rows name and that were not there
  std::vector<std::string> tree_names = {};  // while it is made
};

// Reads every byte back; fills in what the database's entry lacks. Errors: corrupt (backup_damaged), those of
// reading.
[[nodiscard]] base::Result<void> check_backup(const std::filesystem::path& backup, Manifest& manifest);

// Durable, at once.
[[nodiscard]] base::Result<void> write_manifest(const std::filesystem::path& backup, const Manifest& manifest);
// Errors: not_found (no backup), corrupt (backup_damaged), unsupported (of a newer version).
[[nodiscard]] base::Result<Manifest> read_manifest(const std::filesystem::path& backup);

// Where the bytes of a blob lie in a backup.
[[nodiscard]] std::filesystem::path blob_place(const std::filesystem::path& backup, const ManifestEntry& blob);

// The small files of a data folder that belong to it: all but the database, what the running server says about
// itself, locks and logs; and the policies. Relative, sorted.
[[nodiscard]] base::Result<std::vector<std::string>> small_files_of(const std::filesystem::path& data);

// Takes a folder away with everything below it.
[[nodiscard]] base::Result<void> remove_folder(const std::filesystem::path& parent, const std::string& name);

}  // namespace agentrouter::apps
