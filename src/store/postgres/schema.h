#pragma once
// The tables, as a list of steps: the table agentrouter_schema says which have been taken. A step, once
// released, never changes; a new one is added behind it.
//
// Nodes of this version and of the one before work on one database while it is migrated, so a step only adds:
// tables, columns that are null or have a constant default, triggers, and indexes. It holds no lock on a
// table that grows for longer than an instant: what would (an index over all that there is) is a statement of
// `beside`, which PostgreSQL builds beside the writers, and a step waits two seconds at most for a lock
// before it lets everybody pass and tries again. What takes something away comes one version after the last
// that needs it, with `oldest`.

#include <vector>

#include "store/postgres/session.h"

namespace agentrouter::store::postgres {

struct Step {
  // Scripts that are one transaction.
  std::vector<const char*> sql;
  // Single statements outside of a transaction, taken before it and harmless when repeated: CREATE INDEX
  // CONCURRENTLY IF NOT EXISTS. An index whose building was cut off is dropped first.
  std::vector<const char*> beside = {};
  // The fewest steps that a program must know to work on a database that has taken this one.
  int oldest = 1;
};

[[nodiscard]] const std::vector<Step>& steps();

// What this build brings a database to.
[[nodiscard]] int schema_version();

// The steps that this database has taken; 0 for an empty one. Throws Failure: unsupported (schema_newer: no
// program that knows `known` steps may use it), corrupt (store_corrupt: tables that are not ours),
// unavailable.
[[nodiscard]] int check_schema(Session& session, int known = schema_version());

// Takes the missing steps up to `version`. Safe while other nodes do the same: each step is taken by one of
// them. Throws as check_schema().
void migrate(Session& session, const std::vector<Step>& list = steps(), int version = schema_version());

}  // namespace agentrouter::store::postgres
