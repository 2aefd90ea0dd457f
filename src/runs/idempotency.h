#pragma once
// A request that creates or decides may carry a key: the same request with the same key is then done once in
// its workspace (the transaction's), for 24 hours, however often and however concurrently it comes. What it
// did and that it was done are one transaction.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

inline constexpr std::chrono::hours idempotency_lifetime{24};
inline constexpr int purged_at_once = 200;  // keys, so that no request pays for those of many

struct KeyedUse {
  std::string target;     // method and path, e.g. "POST /v1/runs"; keys of different targets do not meet
  std::string key;        // as the client sent it; empty for none. Stored only as part of a SHA-256
  std::string body_hash;  // sha256 hex of what two requests must share to count as the same
};

// What the first use did; nothing when this is the first, or when there is no key. Purges keys whose time is
// over.
//
// Errors: conflict with reason idempotency_conflict (the key was used with another body).
[[nodiscard]] base::Result<std::optional<store::IdempotencyKey>> earlier_use(store::Transaction& tx,
                                                                             const KeyedUse& use,
                                                                             Context context);

// This use did it: `run` was made, or its event `event_seq` was. Nothing to remember without a key.
void remember_use(store::Transaction& tx, const KeyedUse& use, const model::RunId& run, model::Seq event_seq,
                  Context context);

// What two bodies must share to count as the same request: sha256 hex over the canonical JSON of `body`,
// in which a key with its default (approvalMode "auto") equals leaving it out.
[[nodiscard]] std::string body_hash(const json::object& body);

// The name under which the key is stored.
[[nodiscard]] std::string key_hash(const KeyedUse& use,
                                   std::string_view workspace = model::default_workspace);

}  // namespace agentrouter::runs
