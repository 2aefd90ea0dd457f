#pragma once
// What the store keeps besides the nouns of `model`: attempts with their leases, pending approvals,
// idempotency keys.

#include <optional>
#include <string>
#include <string_view>

#include "model/artifact.h"
#include "model/event.h"
#include "model/run.h"

namespace agentrouter::store {

// One try at a run. `token` grows with every lease of the run: a worker that holds an older one may not
// write.
struct Attempt {
  model::AttemptId id;
  model::RunId run_id;
  int number = 1;          // 1, 2, ... within the run
  std::string worker_id;   // who holds the lease
  std::int64_t token = 1;  // fencing
  base::Time lease_until;
  int slot = 0;                     // uid range and name of what the sandbox made; unique among open attempts
  std::int64_t journal_offset = 0;  // bytes of the journal that are in the store
  bool open = true;                 // false once its sandbox and folder are gone
  std::string lower_path;           // what the workspace's lower layer is; empty for scratch
  // The run's end as decided by the first of the two closing transactions, as JSON text; empty before it.
  std::string closing;
  base::Time created_at;
};

enum class ApprovalState { pending, approved, denied, expired, withdrawn, void_ };
[[nodiscard]] std::string_view to_string(ApprovalState state);
[[nodiscard]] std::optional<ApprovalState> parse_approval_state(std::string_view text);

// One row judges an approval: pending -> one of the others, once.
struct Approval {
  model::RunId run_id;
  model::ActionId action_id;
  std::string action_digest;
  std::string args_digest;
  std::string request_id;
  std::string requested_event_id;  // the cause of the decision's event
  ApprovalState state = ApprovalState::pending;
  std::string reason;
  model::Seq decided_seq = 0;  // sequence of the event that decided; 0 while pending
  bool delivered = false;      // the keeper's journal has answered
};

struct IdempotencyKey {
  std::string key_hash;   // sha256 hex of the key
  std::string body_hash;  // sha256 hex of the parsed body
  model::RunId run_id;
  base::Time expires_at;
};

struct RunQuery {
  std::optional<std::string> status;  // "active" or a status
  int limit = 50;
};

}  // namespace agentrouter::store
