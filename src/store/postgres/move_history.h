#pragma once
// Everything that a data folder's SQLite database remembers, moved into an empty PostgreSQL database: ids,
// numbers, sequences, the audit chain and the places in lists stay what they are.

#include <functional>
#include <string>
#include <vector>

#include "store/postgres/session.h"
#include "store/sqlite/statement.h"
#include "store/store.h"

namespace agentrouter::store::postgres {

struct MovedTable {
  std::string name;
  std::int64_t rows = 0;
};

struct MoveOptions {
  // Told now and then how far a table is.
  std::function<void(const MovedTable&)> progress = [](const MovedTable&) {};
  // Looks at what has arrived before it is committed; what it throws undoes everything.
  std::function<void(Reader&)> check = [](Reader&) {};
};

// Copies all tables in one transaction: afterwards everything is there or nothing is. `from` has this build's
// schema and nobody writes to it; `to` has no statement timeout. The schema of `to` is brought up to date
// first. Counts are compared on both sides before the commit.
//
// Throws Failure: conflict (database_not_empty: it has runs or other records; store_in_use: servers work on
// it), corrupt (store_corrupt: `from` has rows that belong to nothing), internal when a table or column is
// not known on the other side, and as migrate() and Session do.
[[nodiscard]] std::vector<MovedTable> move_history(Connection& from, Session& to, const MoveOptions& options);

}  // namespace agentrouter::store::postgres
