#pragma once
// Runs that continue each other. A conversation begins with its first run and has one active turn at most. It
// has a session once its first run has ended, however it ended; from then on, in the same transaction, it can
// be continued, until it is closed or its time is over. Then its checkpoints are reclaimed.

#include "runs/budgets.h"
#include "runs/context.h"
#include "runs/queue.h"
#include "store/store.h"

namespace agentrouter::runs {

struct ConversationRules {
  std::chrono::milliseconds one_shot_grace = std::chrono::minutes(10);  // after the end of a first run
  std::chrono::milliseconds idle_ttl = std::chrono::minutes(30);        // after the end of a later turn
  // Later turns do not inherit the approval mode: they begin with auto, as the published server has it.
  bool published_turn2 = false;
};

// Of a run that is in the store: every run has one.
[[nodiscard]] store::Conversation conversation_of(store::Reader& reader, const model::Run& run);

// Closed, or its time is over: it is not continued.
[[nodiscard]] bool is_over(const store::Conversation& conversation, base::Time now);

// A review looks at what is there and has no conversation.
[[nodiscard]] bool is_review(const model::Runtime& runtime);

// A turn has ended: its conversation has a session, and can be continued until the rules say otherwise. To be
// called in the transaction that makes `run` terminal, after apply_end.
void end_turn(store::Transaction& tx, const model::Run& run, const ConversationRules& rules, base::Time now);

struct ContinueRequest {
  model::RunId run;                                       // any of the conversation, as the client named it
  std::string message;                                    // trimmed
  std::optional<model::ApprovalMode> approval_mode = {};  // may only be tighter than the inherited one
  std::string idempotency_key = {};                       // as the client sent it; empty for none
  std::optional<model::ApprovalScope> scope = {};         // may only be tightened, too: to `action`
  policy::RunLimits limits = {};                          // the same
  std::string api_key = {};                               // the name of the key that asks
};

struct Continued {
  model::Run run;  // queued, with a number of its own
  bool replayed = false;
};

// The next turn: a run with its own id and events that inherits from the turn before (heir.h).
//
// Errors: not_found (run_not_found); conflict with reason idempotency_conflict, run_not_continuable
// (auto_review), session_closed (closed or expired), run_busy (a turn is active); invalid with reason
// validation_error (the approval mode would be looser); those of admit_spending and admit_queued; not_found
// (run_deleted) as create_run.
[[nodiscard]] base::Result<Continued> continue_run(store::Transaction& tx, const ContinueRequest& request,
                                                   Context context, const ConversationRules& rules = {},
                                                   const SpendingRules& spending = {},
                                                   const QueueRules& queue = {});

struct Turn {
  std::string id;  // turn_<uuid>; the run's id before the conversation has a session
  model::RunId run_id;
  int turn_number = 1;
  std::string prompt;  // in full; 500 UTF-16 units before the conversation has a session
  base::Time created_at;
};
struct Turns {
  model::RunId conversation_id;
  std::vector<Turn> items;
  // The RunTurnsResult of the wire.
  [[nodiscard]] std::string to_wire() const;
};

// By any run of the conversation. Errors: not_found (run_not_found).
[[nodiscard]] base::Result<Turns> turns(store::Reader& reader, const model::RunId& run);

struct ClosedConversation {
  model::RunId conversation_id;
  bool reclaimed = false;  // there is a session, whose state is or will be thrown away
  // The CloseRunResult of the wire.
  [[nodiscard]] std::string to_wire() const;
};

// By any run of the conversation. No further turn is accepted, and an active one is cancelled (cancel.h);
// when that has ended, everything is freed. Repeating it changes nothing.
//
// Errors: not_found (run_not_found).
[[nodiscard]] base::Result<ClosedConversation> close_conversation(store::Transaction& tx,
                                                                  const model::RunId& run, Context context);

// Reclaiming, in three steps that may each be repeated after a crash: begin_reclaim closes a conversation
// whose time is over, so that nobody continues it, lets go of checkpoints that a fork shares, dooms the
// others, so that nobody forks from them, and returns these; the caller deletes their bytes; reclaim forgets
// them, and the conversation itself when all of its runs were deleted. Reader::conversations_to_reclaim says
// which are due.
//
// Errors: not_found (conversation_not_found), conflict (conversation_in_use: it has been continued, or its
// time is not over).
[[nodiscard]] base::Result<std::vector<store::Checkpoint>> begin_reclaim(store::Transaction& tx,
                                                                         const model::RunId& conversation,
                                                                         Context context);
// Errors: those of begin_reclaim.
[[nodiscard]] base::Result<void> reclaim(store::Transaction& tx, const model::RunId& conversation,
                                         Context context);

}  // namespace agentrouter::runs
