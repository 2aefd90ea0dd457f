#pragma once
// The tables, as a list of steps: PRAGMA user_version says how many have been taken. A step, once released,
// never changes; a new one is added behind it.

#include "store/sqlite/statement.h"

namespace agentrouter::store {

// What this build writes.
[[nodiscard]] int schema_version();

// Errors: unsupported (schema_newer), corrupt (store_corrupt: a database, but not ours). Changes nothing.
// Throws Failure when the database cannot be read.
[[nodiscard]] base::Result<void> check_schema(Connection& connection);

// Takes the missing steps up to `version` of a database that was checked, each in its own transaction. Throws
// Failure.
void migrate(Connection& connection, int version = schema_version());

}  // namespace agentrouter::store
