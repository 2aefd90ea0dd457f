#pragma once
// Who may queue how much. Runs of one share wait for each other; different shares are served in turn
// (Reader::queued_runs), so that nobody who queues much holds up the others. A workspace is one share,
// however many keys it has; the default workspace is divided by tag and key.

#include "store/store.h"

namespace agentrouter::runs {

struct QueueRules {
  std::int64_t max_queued = 100'000;     // runs that wait, of all shares; 0: any number
  std::int64_t max_queued_of_share = 0;  // 0: any number
  // Of the default workspace: runs that have this tag share by its value. Without it, and when this is empty,
  // by the key that asked.
  std::string share_tag = {};
  // Runs are taken only from workspaces that have a key of their own for the run's model provider.
  bool needs_provider_key = false;
  // Folders below which workspaces may lie: a run on a path waits for a worker that has its root (placement.h).
  std::vector<std::string> roots = {};
};

// Where a run waits.
struct QueuePlace {
  std::string share;
  std::string lane;
};

// "openai" for Codex, "anthropic" for Claude Code.
[[nodiscard]] std::string_view provider_of(const model::Runtime& runtime);

// Where a new run waits, if it may.
//
// Errors: exhausted (queue_full, details {scope: all|share, limit, queued, retryAfterSeconds}), conflict
// (provider_key_required, details {provider}).
[[nodiscard]] base::Result<QueuePlace> admit_queued(store::Reader& reader, const model::Run& run,
                                                    std::string_view api_key, const QueueRules& rules);

}  // namespace agentrouter::runs
