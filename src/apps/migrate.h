#pragma once
// From one machine to a store that machines share: what a data folder's SQLite database remembers, moved into
// an empty PostgreSQL database. Artifacts, checkpoints and base trees stay where they are.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "base/error.h"
#include "store/postgres/move_history.h"
#include "store/postgres/postgres_store.h"

namespace agentrouter::apps {

struct MigrateReport {
  std::vector<store::postgres::MovedTable> tables;
  std::int64_t audit_entries = 0;  // whose chain was followed to its end, in PostgreSQL
};

// All or nothing, and nothing is taken away: the SQLite database stays as it is. The folder's lock is held
// meanwhile, so no server works on it.
//
// Errors: conflict (data_in_use: a server has the folder; database_not_empty, store_in_use), not_found (no
// database in the folder), corrupt (an audit_... reason: the chain is broken; store_corrupt), those of
// opening either store.
[[nodiscard]] base::Result<MigrateReport> migrate_to_postgres(
    const std::filesystem::path& data, const store::postgres::PostgresOptions& to,
    const std::function<void(const store::postgres::MovedTable&)>& progress);

}  // namespace agentrouter::apps
