#pragma once
// A copy of a data folder from which the server can begin again on another machine or after a lost disk: the
// database as it was at one moment, the bytes that its rows name, the base trees that conversations stand on,
// and the small files of the folder. It is made beside a server that serves, or without one.
//
//   DIR/manifest.json           what belongs to the backup, with sizes and SHA-256; written last, at once
//   DIR/database-<time>.db      SQLite, whole by itself
//   DIR/blobs/ab/ab12...        by their SHA-256: what an earlier backup in DIR has is not copied again
//   DIR/trees/<name>            base trees
//   DIR/files/...               api_key, agentrouter.toml, policies and whatever else lies in the folder
//
// Blobs that are in a store elsewhere ([blobs]) are not copied: they stay where they are, and the restored folder names
// them. Whoever runs that store keeps them, with versions of its objects or a copy of its own.
//
// Secrets are in it (the API key, headers in agentrouter.toml): 0700, 0600. What the database has of secrets is sealed,
// and DATA/master_key is not in it: who has the backup alone cannot open them, and neither can who lost the key.
// Left out: journals and sandboxes of runs that are going on, kept layers (their checkpoints are there), images
// (they are unpacked again), logs.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"

namespace agentrouter::apps {

struct BackupReport {
  std::int64_t database_bytes = 0;
  std::int64_t blobs = 0;
  std::int64_t blob_bytes = 0;
  std::int64_t copied = 0;  // of the blobs; the rest was there
  std::int64_t trees = 0;
  std::int64_t files = 0;
  std::vector<std::string> lost;  // blobs that the data folder does not have any more as they were written
  std::string elsewhere;          // the store that has the blobs; empty: they are in the backup
};

// Makes `to`, or brings an earlier backup up to date; a crash leaves the earlier one. Everything has been read
// back when it returns.
//
// Errors: invalid (`to` holds something else, or lies in the data folder), not_found, corrupt, those of reading
// and writing.
[[nodiscard]] base::Result<BackupReport> make_backup(const std::filesystem::path& data,
                                                     const std::filesystem::path& to,
                                                     const base::Clock& clock);

struct RestoreReport {
  std::int64_t blobs = 0;
  std::int64_t trees = 0;
  std::int64_t files = 0;
  std::string made_at;  // the moment that it goes back to
  bool sealed = false;  // there are values that need the master key, which is in no backup
  std::vector<std::string> lost;
};

// Makes the data folder anew; every byte is compared with the manifest on its way. It appears as a whole, or not
// at all.
//
// Errors: conflict (data_in_use: `data` is not empty), corrupt (backup_damaged), not_found (no backup), those of
// reading and writing.
[[nodiscard]] base::Result<RestoreReport> restore_backup(const std::filesystem::path& from,
                                                         const std::filesystem::path& data);

}  // namespace agentrouter::apps
