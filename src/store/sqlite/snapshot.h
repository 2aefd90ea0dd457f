#pragma once
// The database of a data folder as somebody else than its owner sees it: a backup that is made beside the
// server, or a look at whether all is well. Nothing here takes the folder's lock, changes the database or moves
// its WAL.

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "store/sqlite/statement.h"
#include "store/store.h"

namespace agentrouter::store {

// A connection that reads. Errors: not_found, corrupt (store_corrupt), unsupported (schema_newer), unavailable.
[[nodiscard]] base::Result<Connection> open_as_guest(const std::filesystem::path& database);

// One consistent state of `from`, whatever is written meanwhile, as the new file `to` (0600), which needs no WAL.
// Durable when it returns.
//
// Errors: conflict (`to` is there), those of open_as_guest(), corrupt (a page is damaged), those of writing.
[[nodiscard]] base::Result<void> copy_database(const std::filesystem::path& from,
                                               const std::filesystem::path& to);

// Makes room for checksums in a database of which nobody else has a connection, and writes them. Nothing when it
// has them. Errors: as copy_database().
[[nodiscard]] base::Result<void> add_checksums(const std::filesystem::path& database);

// Bytes that rows name.
struct NamedBlob {
  std::string key;
  std::int64_t size = 0;
  std::string sha256;
  std::string owner;  // "artifact artifact_..." or "checkpoint of run_..."
};
// By their keys, each once; without those whose checkpoint is being deleted. Throws Failure.
[[nodiscard]] std::vector<NamedBlob> named_blobs(Connection& database);

// Something in it was sealed by room `vault`. False also for a schema of before there was any. Throws Failure.
[[nodiscard]] bool has_sealed_values(Connection& database);

// What else is asked, through the store's port. Lives as long as the connection.
[[nodiscard]] std::unique_ptr<Reader> reader_of(Connection& database);

}  // namespace agentrouter::store
