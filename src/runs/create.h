#pragma once
// A run is asked for. With an idempotency key the same request gives the same run, however often and however
// concurrently it comes, for 24 hours.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

struct NewRun {
  std::string input;  // the parsed and checked request body with its defaults, as JSON text
  std::string task;   // trimmed
  model::Runtime runtime;
  model::ApprovalMode approval_mode = model::ApprovalMode::automatic;
  std::string workspace_path;  // checked and real; empty for a scratch tree
  int priority = 0;
  std::string idempotency_key;  // as the client sent it; empty for none. Stored only as its SHA-256
};

struct Created {
  model::Run run;
  bool replayed = false;  // an earlier request with this key made it; `run` is its present state
};

inline constexpr std::chrono::hours idempotency_lifetime{24};

// The new run is queued and has no event yet.
//
// Errors: conflict with reason idempotency_conflict (the key was used with another body).
[[nodiscard]] base::Result<Created> create_run(store::Transaction& tx, const NewRun& request,
                                               Context context);

// What two bodies must share to count as the same request: sha256 hex over the canonical JSON of `body`,
// in which approvalMode "auto" equals leaving it out.
[[nodiscard]] std::string body_hash(const json::object& body);

}  // namespace agentrouter::runs
