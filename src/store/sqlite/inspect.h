#pragma once
// What must hold between the rows of a database, looked at by itself: not what a use case needs, but what would
// be missed if a row were lost, doubled or changed.

#include <functional>
#include <string>

#include "store/sqlite/statement.h"

namespace agentrouter::store {

struct Finding {
  std::string code;   // "event_gap"
  std::string what;   // one sentence
  std::string where;  // "run run_..."
  std::string fix;    // what the operator can do
};

// One consistent state; calls `tell` for each finding, at most 100 of each kind. Reads the whole database.
// Throws Failure.
void inspect_rows(Connection& database, const std::function<void(Finding)>& tell);

// SQLite's own look at its trees and indices. A finding's code is database_damaged, or index_damaged where
// rebuilding repairs it. Throws Failure.
void inspect_trees(Connection& database, const std::function<void(Finding)>& tell);

// Makes all indices anew, what says where the newest event of each type is, and what is counted. Changes no other row. For the
// only connection. Throws Failure.
void rebuild_indices(Connection& database);

}  // namespace agentrouter::store
