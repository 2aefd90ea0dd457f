#pragma once
// Who may queue how much. Runs of one share wait for each other; different shares are served in turn
// (Reader::queued_runs), so that nobody who queues much holds up the others.

#include "store/store.h"

namespace agentrouter::runs {

struct QueueRules {
  std::int64_t max_queued = 100'000;     // runs that wait, of all shares; 0: any number
  std::int64_t max_queued_of_share = 0;  // 0: any number
  // Runs that have this tag share by its value. Without it, and when this is empty, by the key that asked.
  std::string share_tag = {};
};

// The share of a new run, if it may wait.
//
// Errors: exhausted (queue_full, details {scope: all|share, limit, queued, retryAfterSeconds}).
[[nodiscard]] base::Result<std::string> admit_queued(store::Reader& reader, const model::Run& run,
                                                     std::string_view api_key, const QueueRules& rules);

}  // namespace agentrouter::runs
