#pragma once
// The full text of runs (search_text.h) held against the rows that it was made from: it has no content of its
// own, so that a word which is lost or too many is only noticed by making it once more.

#include <functional>

#include "store/sqlite/inspect.h"

namespace agentrouter::store {

// One consistent state; tells each run whose words are not those of its task and its last answer
// (search_wrong), at most 100. Reads all texts and makes an index of them in a temporary file. Throws
// Failure.
void inspect_texts(Connection& database, const std::function<void(Finding)>& tell);

// Makes the full text anew. For the only connection. Throws Failure.
void rebuild_texts(Connection& database);

}  // namespace agentrouter::store
