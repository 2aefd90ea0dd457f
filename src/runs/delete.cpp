#include "runs/delete.h"

#include <limits>

#include "runs/audit.h"
#include "runs/conversations.h"
#include "runs/outbox.h"
#include "runs/payloads.h"
#include "runs/turn_state.h"

namespace agentrouter::runs {

namespace {

constexpr int page_runs = 100;
constexpr int pages_at_most = 20;
constexpr int after_any_turn = std::numeric_limits<int>::max();
constexpr int tidy_seconds = 1;

base::Result<void> check_ended(store::Reader& reader, const model::Run& run) {
  if (!model::is_terminal(run.status))
    return base::fail(base::Code::conflict,
                      "run " + run.id.str() + " is " + std::string(to_string(run.status)) + ": cancel it first",
                      "run_not_ended");
  if (!reader.has_open_attempt(run.id)) return {};
  return base::fail(base::Code::conflict, "the sandbox of run " + run.id.str() + " is being removed",
                    "run_not_ended", base::to_text(json::object{{"retryAfterSeconds", tidy_seconds}}));
}

// The state behind this turn goes when a later turn has left one: nobody can name this turn any more.
void let_go_of_state(store::Transaction& tx, const model::Run& run) {
  const auto newest = tx.latest_checkpoint(run.conversation_id, after_any_turn);
  if (!newest || newest->turn_number <= run.turn_number) return;
  for (auto& checkpoint : tx.checkpoints(run.conversation_id)) {
    if (checkpoint.turn_number != run.turn_number) continue;
    if (tx.is_shared(checkpoint)) {
      tx.delete_checkpoint(run.conversation_id, run.turn_number);
    } else {
      checkpoint.doomed = true;
      tx.put_checkpoint(checkpoint);
    }
  }
}

void leave_conversation(store::Transaction& tx, const model::Run& run, const std::string& lost, base::Time now) {
  auto conversation = conversation_of(tx, run);
  if (!tx.latest_turn(run.conversation_id)) {
    if (conversation.reclaimed) return tx.delete_conversation(conversation.id);
    if (conversation.state == store::ConversationState::open) conversation.closed_at = now;
    conversation.state = store::ConversationState::closed;
    conversation.expires_at = std::min(conversation.expires_at, now);
  }
  conversation.last_turn = std::max(conversation.last_turn, run.turn_number);
  if (!lost.empty()) conversation.lost_turn = std::max(conversation.lost_turn, run.turn_number);
  tx.put_conversation(conversation);
}

}  // namespace

base::Result<void> delete_run(store::Transaction& tx, const Deletion& deletion, Context context) {
  const auto run = tx.run(deletion.run);
  if (!run) return tl::unexpected(run_not_found(deletion.run));
  if (auto ended = check_ended(tx, *run); !ended) return ended;
  const auto now = context.clock.now();
  const bool asked = deletion.why == Deletion::Why::asked;
  const std::string reason = asked ? "request" : "retention";
  notify(tx, {.type = "run.deleted",
              .run = run->id,
              .key = "deleted",
              .at = now,
              .about = {{"reason", reason}, {"title", ""}}});
  audit_deletion(tx, *run, reason, asked ? deletion.by : reason, now);
  const auto lost = state_error_of(tx, run->id);
  let_go_of_state(tx, *run);
  tx.delete_run(run->id, now);
  leave_conversation(tx, *run, lost, now);
  return {};
}

std::optional<store::Checkpoint> doomed_state(store::Reader& reader, const store::DeletedRun& run) {
  for (auto& checkpoint : reader.checkpoints(run.conversation_id)) {
    if (checkpoint.turn_number == run.turn_number && checkpoint.run_id == run.id && checkpoint.doomed)
      return std::move(checkpoint);
  }
  return std::nullopt;
}

Overdue overdue_runs(store::Reader& reader, const RetentionRules& rules, base::Time now, int limit) {
  Overdue overdue;
  const auto totals = reader.totals();
  auto too_many = rules.max_runs ? totals.ended_runs - *rules.max_runs : 0;
  const bool too_large =
      rules.max_bytes && totals.artifact_bytes + totals.database_bytes > *rules.max_bytes;
  store::EndedQuery query{.limit = page_runs};
  for (int page = 0; page < pages_at_most; ++page) {
    const auto ended = reader.ended_runs(query);
    for (const auto& run : ended) {
      const bool old = rules.max_age && run.completed_at + *rules.max_age <= now;
      if (!old && too_many <= 0 && !too_large) {
        if (rules.max_age && run.reclaimed) overdue.next_look = run.completed_at + *rules.max_age;
        return overdue;
      }
      if (!run.reclaimed) continue;
      --too_many;
      overdue.runs.push_back(run.id);
      if (static_cast<int>(overdue.runs.size()) == limit) return overdue;
    }
    if (static_cast<int>(ended.size()) < query.limit) break;
    query.after = ended.back().completed_at;
    query.after_number = ended.back().number;
  }
  return overdue;
}

}  // namespace agentrouter::runs
