#pragma once
// What the store keeps besides the nouns of `model`: conversations with their checkpoints, attempts with
// their leases, actions, approvals, idempotency keys; and what lists of runs are asked and answered with.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/artifact.h"
#include "model/event.h"
#include "model/run.h"

namespace agentrouter::store {

enum class ConversationState { open, closed };
[[nodiscard]] std::string_view to_string(ConversationState state);

inline constexpr base::Time never = base::Time::max();

// The runs that continue each other. Its row is made together with its first run.
struct Conversation {
  model::RunId id;                             // the first run's
  std::optional<model::SessionId> session_id;  // none until the first run has ended
  ConversationState state = ConversationState::open;
  base::Time created_at;
  std::optional<base::Time> closed_at;
  base::Time expires_at = never;  // from then on it is not continued; never while a turn is active
  bool reclaimed = false;         // its checkpoints are gone
  int last_turn = 0;              // the highest number of a turn whose run was deleted; 0: none was
  int lost_turn = 0;              // the highest of those whose state could not be kept
};

// The workspace and the agent's home as a turn left them. The bytes are in `blobs` under the key. A
// conversation that was forked from that turn has a row of its own with the same key: the bytes stay until no
// conversation has them.
struct Checkpoint {
  model::RunId run_id;           // that left it
  model::RunId conversation_id;  // that has it
  int turn_number = 1;           // within that conversation; 0: what it was forked from
  std::string key;
  std::int64_t size_bytes = 0;  // of the stored bytes
  std::string sha256;           // of the stored bytes, 64 lower-case hex digits
  std::string thread_id;        // the agent's own name of the conversation; empty when it never said one
  base::Time created_at;
  bool doomed = false;  // its bytes are being deleted; nothing begins with it any more
};

// Files that a client has sent to work on. Their tree is DATA/trees/<tree>/tree; the archive itself is not
// kept.
struct Upload {
  std::string id;               // upload_<uuid>
  std::string sha256;           // of the archive, 64 lower-case hex digits
  std::int64_t size_bytes = 0;  // of the archive
  std::string tree;
  std::int64_t files = 0;  // in the tree
  base::Time created_at;
  base::Time expires_at;  // from then on no run can be made of it
  std::string workspace_id = std::string(model::default_workspace);
};

// One try at a run. `token` grows with every lease of the run: a worker that holds an older one may not
// write. `beats` grows with every renewal: a lease whose two numbers stand still is not being held.
struct Attempt {
  model::AttemptId id;
  model::RunId run_id;
  int number = 1;          // 1, 2, ... within the run
  std::string worker_id;   // who holds the lease
  std::int64_t token = 1;  // fencing
  base::Time lease_until;  // by the holder's clock; nothing is decided by it
  std::int64_t beats = 0;
  // Where its folder and its keeper are: who has the same host can reach them. Empty: whoever has the data
  // folder.
  std::string host;
  bool launched = false;            // a keeper may have been started for it
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
  model::Seq decided_seq = 0;                 // sequence of the event that decided; 0 while pending
  bool delivered = false;                     // the keeper's journal has answered
  std::optional<base::Time> expires_at = {};  // a deadline that holds while it is pending
  std::string decided_by = {};                // the key that a person used; empty when nobody decided
  base::Time requested_at = {};
  std::int64_t number = 0;  // in the order of asking, over all runs; the store gives it
};

// What happened to an action so far, folded from its events by `runs`. A sequence is 0, and a text empty,
// as long as there is no such event.
struct ActionRecord {
  model::RunId run_id;
  model::ActionId action_id;
  std::string action_digest;
  std::string args_digest;
  std::string name;
  std::string target;
  model::Seq proposed_seq = 0;
  model::Seq policy_seq = 0;
  std::string policy_decision;  // allowed, requires_approval, blocked
  std::string policy_reason;
  model::Seq requested_seq = 0;
  model::Seq settled_seq = 0;
  std::string approval;  // pending, approved, denied, expired, withdrawn
  std::string approval_reason;
  model::Seq started_seq = 0;
  model::Seq ended_seq = 0;
  std::string execution;  // started, completed, failed
  std::string execution_reason;
  std::optional<std::int64_t> exit_code;
  std::string policy_id = {};
  std::string policy_version = {};
  std::string policy_rule = {};  // the rule that spoke; empty when the policy has none
  std::string decided_by = {};   // as in Approval
  std::optional<std::int64_t> duration_ms = {};
};

// What a person has decided in advance about the rest of a run: questions that match are decided by it.
struct StandingRule {
  std::string id;  // rule_<uuid>
  model::RunId run_id;
  bool approves = false;  // else it denies
  std::string rule;       // one rule of the policy language as JSON text, without verdict
  std::string reason;     // what a person said; may be empty
  std::string given_by;   // the key that the person used
  base::Time given_at;
  std::optional<base::Time> withdrawn_at = {};
  std::string withdrawn_by = {};
  std::int64_t used = 0;  // questions that it has decided
};

// What a run has spent at model providers so far, and for whom. Money in billionths of a US dollar.
struct RunSpending {
  model::RunId run_id;
  std::string api_key = {};  // the name of the key that asked for the run
  std::int64_t tokens = 0;
  std::int64_t nano_usd = 0;
  std::string used =
      {};  // what it has used of its limits, as its keeper said last: JSON text; empty for nothing
};

// What was spent and is reserved in one budget in one period. `scope` is what the budget is for, `period` a
// day ("2026-11-29") or a month ("2026-11").
struct BudgetPeriod {
  std::string scope;
  std::string period;
  std::int64_t spent_tokens = 0;
  std::int64_t spent_nano_usd = 0;
  std::int64_t reserved_tokens = 0;
  std::int64_t reserved_nano_usd = 0;
};

// A part of the allowance that a run holds while it is carried out.
struct AllowanceLot {
  model::RunId run_id;
  int number = 1;   // 1, 2, ... within the run
  std::string day;  // in whose periods it is reserved
  std::int64_t granted_tokens = 0;
  std::int64_t granted_nano_usd = 0;
  std::int64_t spent_tokens = 0;
  std::int64_t spent_nano_usd = 0;
};

// A list of pending approvals, oldest question first. All that is given must hold.
struct PendingQuery {
  std::optional<model::RunId> run = {};
  std::int64_t after = 0;  // behind the approval of this number
  int limit = 100;
};

// What the first use of a key did: enough to answer a later one.
struct IdempotencyKey {
  std::string key_hash;   // sha256 hex of the key within its scope
  std::string body_hash;  // sha256 hex of the parsed body
  model::RunId run_id;    // that was made, or that the event belongs to; of something else its id
  base::Time expires_at;
  model::Seq event_seq = 0;  // of a decision; of an approval rule what it decided at once
};

// A place in a list: behind the run that was queued then and has this number.
struct RunCursor {
  std::int64_t queued_at = 0;  // milliseconds since the epoch
  std::int64_t number = 0;
  auto operator<=>(const RunCursor&) const = default;
};

// All that is given must hold.
struct RunQuery {
  std::string workspace = std::string(model::default_workspace);  // a reader's scope wins
  std::optional<std::string> status = {};                         // "active" or a status
  int limit = 50;
  std::optional<RunCursor> after = {};
  std::optional<model::RuntimeKind> runtime = {};
  model::Tags tags = {};
  std::optional<model::RunId> conversation = {};
  std::optional<base::Time> created_after = {};   // queued later than this
  std::optional<base::Time> created_before = {};  // queued earlier than this
  // Words that task and answer have between them, in any order, whatever their case and accents. Any text
  // may be asked for; one without a word finds nothing.
  std::string text = {};
};

// A run with this tag is kept by every rule of retention, whatever its value.
inline constexpr std::string_view keep_tag = "keep";

// A run that has ended and has no keep_tag.
struct EndedRun {
  model::RunId id;
  base::Time completed_at;
  std::int64_t number = 0;  // in the order of asking
  bool reclaimed = false;   // its conversation is over and its state thrown away
};

// Those that ended first, behind a place in the list.
struct EndedQuery {
  std::optional<base::Time> after = {};  // behind the one that ended then
  std::int64_t after_number = 0;         // and has this number
  int limit = 100;
};

// A run that was deleted, as long as something of it is left to be removed.
struct DeletedRun {
  model::RunId id;
  model::RunId conversation_id;
  int turn_number = 1;
  base::Time deleted_at;
};

// Kept up to date with every change: reading it costs the same however much there is.
struct Totals {
  std::int64_t queued_runs = 0;
  std::int64_t ended_runs = 0;      // without those that have keep_tag
  std::int64_t artifact_bytes = 0;  // as their records say
  std::int64_t database_bytes = 0;  // in use; the file may be larger
};

// Runs that wait, or are carried out, and need the same of whoever takes them. What that is only `runs` reads out
// of the name.
struct Lane {
  std::string name;
  std::int64_t queued = 0;
  std::int64_t active = 0;  // starting, running or cancelling
};

// A small record by which the servers of one store meet: who is there, who has which duty, what one asks the other.
// The text is JSON, which `runs` reads and writes. There are thousands at most, of all kinds together.
struct Note {
  std::string kind;
  std::string id;  // within its kind
  std::string text;
};
inline constexpr int notes_at_most = 10'000;

struct RunPage {
  std::vector<model::Run> items;
  std::optional<RunCursor> next = {};  // there may be more behind it; none: this is the end
};

}  // namespace agentrouter::store
