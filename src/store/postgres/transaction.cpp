// Runs and their events.

#include "store/postgres/transaction.h"

#include <algorithm>

#include "store/postgres/words.h"

namespace agentrouter::store::postgres {

namespace {

std::optional<std::string_view> or_null(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

// Empty for a scratch tree.
std::string workspace_text(const model::Workspace& workspace) {
  return workspace == model::Workspace() ? std::string() : base::to_text(workspace.to_json());
}

// $1 to $21, in this order in both statements that write a run.
#define PG_RUN_FIELDS                                                                                       \
  "status, runtime_kind, runtime_mode, runtime_model, approval_mode, session_id, conversation_id, "         \
  "queued_at, "                                                                                             \
  "started_at, completed_at, cancel_requested_at, failure_code, failure_reason, failure_cause, workspace, " \
  "tree, priority, attempts, turn_number, turn_id, approval_timeout"
#define PG_RUN_VALUES \
  "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21"

Parameters run_values(const model::Run& run) {
  auto made = values(to_string(run.status), to_string(run.runtime.kind), run.runtime.mode, run.runtime.model,
                     to_string(run.approval_mode), run.session_id, run.conversation_id, run.queued_at,
                     run.started_at, run.completed_at, run.cancel_requested_at);
  const auto& failure = run.failure;
  add_value(made, failure ? std::optional(failure->code) : std::nullopt);
  add_value(made, failure ? std::optional(failure->reason) : std::nullopt);
  add_value(made, failure ? std::optional(failure->cause) : std::nullopt);
  add_value(made, or_null(workspace_text(run.workspace)));
  add_value(made, or_null(run.workspace.tree));
  add_value(made, run.priority);
  add_value(made, run.attempts);
  add_value(made, run.turn_number);
  add_value(made, run.turn_id);
  add_value(made,
            run.approval_timeout ? std::optional(std::int64_t{run.approval_timeout->count()}) : std::nullopt);
  return made;
}

Parameters new_run_values(const model::Run& run, std::string_view share, std::string_view lane) {
  auto made = run_values(run);
  const auto& origin = run.forked_from;
  add_value(made, tags_text(run.tags));
  add_value(made, run.id);
  add_value(made, share);
  add_value(made, origin ? std::optional(origin->run) : std::nullopt);
  add_value(made, origin ? std::optional(origin->conversation) : std::nullopt);
  add_value(made, origin ? std::optional(origin->turn) : std::nullopt);
  add_value(made, month_of(run.queued_at));
  add_value(made, lane);
  add_value(made, run.workspace_id);
  return made;
}

// Those of `all` that `others` does not have; both are sorted.
std::vector<std::string> without(const std::vector<std::string>& all,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> rest;
  std::set_difference(all.begin(), all.end(), others.begin(), others.end(), std::back_inserter(rest));
  return rest;
}

constexpr Statement index_words{
    "index_words",
    "INSERT INTO run_words (workspace_id, word, run) SELECT workspace_id, word, n FROM runs, "
    "unnest($1::text[]) word WHERE n = $2::bigint ON CONFLICT DO NOTHING"};

}  // namespace

void PgTransaction::begun() {
  known_.forget_all();
  audit_heads_.clear();
  months_.forget_made();
}

void PgTransaction::insert_run(const model::Run& run, std::string_view share, std::string_view lane) {
  static constexpr Statement insert{
      "insert_run",
      "INSERT INTO runs (" PG_RUN_FIELDS
      ", tags, id, share, forked_run, forked_conversation, forked_turn, month, lane, workspace_id) VALUES "
      "(" PG_RUN_VALUES
      ", $22, $23, $24, $25, $26, $27, $28, $29, $30) ON CONFLICT (conversation_id, turn_number) DO NOTHING "
      "RETURNING n"};
  static constexpr Statement texts{"insert_texts",
                                   "INSERT INTO run_texts (run, task, input) VALUES ($1, $2, $3)"};
  static constexpr Statement tag{
      "insert_tag",
      "INSERT INTO run_tags (name, value, queued_at, run, workspace_id) VALUES ($1, $2, $3, $4, $5)"};
  const int month = month_of(run.queued_at);
  months_.ensure(session_, month);
  const auto rows = tables_.ask_with(insert, new_run_values(run, share, lane));
  if (rows.empty()) {
    base::throw_failure(
        base::Code::conflict,
        "conversation " + run.conversation_id.str() + " has a turn " + std::to_string(run.turn_number),
        "turn_taken");
  }
  const auto number = rows.front().integer(0);
  known_.put(run.id, {number, month, 0, run.status});
  tell(texts, number, run.task, run.input);
  for (const auto& [name, value] : run.tags) tell(tag, name, value, run.queued_at, number, run.workspace_id);
  tell(index_words, words_of(run.task), number);
  if (run.turn_number == 1) {
    Conversation conversation;
    conversation.id = run.conversation_id;
    conversation.session_id = run.session_id;
    conversation.created_at = run.queued_at;
    put_conversation(conversation);
  }
  capture_.changes.push_back({run.id, run.status});
}

void PgTransaction::update_run(const model::Run& run) {
  static constexpr Statement update{
      "update_run", "UPDATE runs SET (" PG_RUN_FIELDS ") = (" PG_RUN_VALUES ") WHERE id = $22"};
  const auto before = tables_.place_of(run.id);
  if (!before) base::throw_failure(base::Code::not_found, "no run " + run.id.str(), "run_not_found");
  auto parameters = run_values(run);
  add_value(parameters, run.id);
  session_.send(update, parameters);
  known_.find(run.id)->status = run.status;
  if (before->status != run.status) capture_.changes.push_back({run.id, run.status});
}

KnownRun& PgTransaction::active_run(const model::RunId& id) {
  if (!tables_.place_of(id))
    base::throw_failure(base::Code::not_found, "no run " + id.str(), "run_not_found");
  auto& run = *known_.find(id);
  if (model::is_terminal(run.status))
    base::throw_failure(base::Code::conflict, "cannot append to run " + id.str() + ": it has ended",
                        "run_not_active");
  return run;
}

model::Event PgTransaction::append(const model::RunId& id, const model::EventDraft& draft) {
  static constexpr Statement insert{
      "append_event",
      "INSERT INTO events (run, sequence, month, type, source, visibility, provider_event_type, payload, "
      "artifact_id, "
      "r2_key, truncated, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"};
  auto& run = active_run(id);
  model::Event event;
  static_cast<model::EventDraft&>(event) = draft;
  event.run_id = id;
  event.sequence = run.last_event_seq + 1;
  if (event.type == "agent.response") index_answer(id, run, event.payload);
  const auto& artifact = event.artifact_ref;
  tell(insert, run.n, event.sequence, run.month, event.type, to_string(event.source),
       to_string(event.visibility), or_null(event.provider_event_type), event.payload,
       artifact ? std::optional(artifact->artifact_id) : std::nullopt,
       artifact ? std::optional(artifact->r2_key) : std::nullopt, event.truncated, event.created_at);
  run.last_event_seq = event.sequence;
  known_.moved(run);
  capture_.events.push_back(event);
  return event;
}

// The words of an earlier answer go, but those that the task has, too.
void PgTransaction::index_answer(const model::RunId& id, const KnownRun& run, const std::string& payload) {
  static constexpr Statement find_task{"task", "SELECT task FROM run_texts WHERE run = $1"};
  const auto words = words_of(answer_text(payload));
  if (const auto earlier = tables_.last_event_of_type(id, "agent.response")) {
    const auto rows = tables_.ask(find_task, run.n);
    const auto task = rows.empty() ? std::string() : Cells(rows.front()).text(0);
    forget_words(run.n, without(without(words_of(answer_text(earlier->payload)), words_of(task)), words));
  }
  tell(index_words, words, run.n);
}

void PgTransaction::forget_words(std::int64_t run, const std::vector<std::string>& words) {
  static constexpr Statement forget{"forget_words",
                                    "DELETE FROM run_words WHERE workspace_id = (SELECT workspace_id FROM "
                                    "runs WHERE n = $2) AND word = ANY ($1::text[]) AND run = $2"};
  if (!words.empty()) tell(forget, words, run);
}

}  // namespace agentrouter::store::postgres
