#pragma once
// The store in one SQLite file. One writer commits whatever has queued up since its last commit as one
// transaction (WAL, synchronous=FULL); readers have connections and threads of their own; checkpoints happen
// beside the writer, 250 ms after a commit, and only then. Idle, nothing runs.

#include <filesystem>
#include <memory>

#include "store/store.h"

namespace agentrouter::store {

class FolderLock;

struct SqliteOptions {
  int readers = 2;                          // connections and threads
  std::int64_t wal_cap_bytes = 64ll << 20;  // beyond: the writer pauses for one full checkpoint
  std::size_t batch_cap = 512;              // closures of one commit
  std::chrono::milliseconds checkpoint_delay{250};
  std::string vfs = {};  // a registered sqlite3_vfs; empty for the default
  std::shared_ptr<FolderLock> lock = {};  // of the folder, where the caller has it already
};

// Opens or creates the file and brings its schema up to date. The owner of the data directory is whoever
// holds the lock on `store.lock` beside the file; it is kept as long as the store.
//
// Errors: conflict (data_in_use), unsupported (schema_newer: written by a newer version), corrupt
// (store_corrupt: not a database of ours), unavailable (storage_failed, storage_full), denied.
[[nodiscard]] base::Result<std::unique_ptr<Store>> open_sqlite_store(const std::filesystem::path& path,
                                                                     SqliteOptions options = {});

}  // namespace agentrouter::store
