#pragma once
// Copies a piece of an attempt's journal into the store, exactly once: the offset moves in the same
// transaction as the events, and only from where it stands.

#include "runs/budgets.h"
#include "runs/claim.h"

namespace agentrouter::runs {

// A `question` record of the journal.
struct Question {
  model::ActionId action_id;
  std::string action_digest;
  std::string args_digest;
  std::string request_id;
  std::string requested_event_id;
};

// A `released` or `refused` record of the journal.
struct Answer {
  enum class Kind { released, refused };
  Kind kind = Kind::released;
  model::ActionId action_id;
  std::string reason;  // of refused
};

struct JournalBatch {
  std::int64_t from_offset = 0;
  std::int64_t to_offset = 0;
  std::vector<model::EventDraft> events;
  std::vector<Question> questions;
  std::vector<Answer> answers;
  std::vector<Spent> spendings = {};
  std::vector<model::Artifact> artifacts;  // that the events refer to
};

// The offset in the store afterwards. A batch that the store already has changes nothing.
//
// execution.started makes a starting run running. A question becomes a pending approval, with
// a deadline when the run has an approval timeout; when exactly this
// action was decided before its keeper was lost, that decision is delivered again. One that a standing rule
// of the run matches is decided at once (standing_rules.h); else webhooks are told. An answer marks its
// approval as delivered; a refusal of one that is still pending withdraws it (approval.withdrawn).
//
// Errors: those of check_fence; conflict with reason journal_gap (details {offset}: read again from there)
// or run_not_active (the run is being closed).
[[nodiscard]] base::Result<std::int64_t> commit_journal(store::Transaction& tx, const Fence& fence,
                                                        const JournalBatch& batch, Context context);

}  // namespace agentrouter::runs
