#pragma once
// How a row becomes a record and a record a row: for each record the columns that a query asks for and what
// reads them in this order; texts as stored_text.h keeps them, times in milliseconds, flags as 0 and 1.

#include "store/postgres/session.h"
#include "store/postgres/stored_text.h"
#include "store/store.h"

namespace agentrouter::store::postgres {

// Macros, so that every SQL text is a literal that is joined at compile time.
#define PG_RUN_COLUMNS                                                                                    \
  "SELECT r.id, status, runtime_kind, runtime_mode, runtime_model, approval_mode, last_event_seq, "       \
  "session_id, conversation_id, queued_at, started_at, completed_at, cancel_requested_at, failure_code, " \
  "failure_reason, failure_cause, workspace, priority, attempts, turn_number, turn_id, tags, "            \
  "approval_timeout, t.task, t.input, forked_run, forked_conversation, forked_turn, r.n, r.month, "       \
  "r.workspace_id "                                                                                       \
  "FROM runs r JOIN run_texts t ON t.run = r.n "
#define PG_EVENT_COLUMNS                                                                           \
  "SELECT sequence, type, source, visibility, provider_event_type, payload, artifact_id, r2_key, " \
  "truncated, "                                                                                    \
  "created_at FROM events "
#define PG_ARTIFACT_COLUMNS \
  "SELECT id, run_id, kind, r2_key, content_type, size_bytes, sha256, metadata, created_at FROM artifacts "
#define PG_APPROVAL_COLUMNS                                                                               \
  "SELECT run_id, action_id, action_digest, args_digest, request_id, requested_event_id, state, reason, " \
  "decided_seq, delivered, expires_at, decided_by, requested_at, n FROM approvals "
#define PG_ATTEMPT_COLUMNS                                                                             \
  "SELECT id, run_id, number, worker_id, token, lease_until, slot, journal_offset, open, lower_path, " \
  "closing, created_at, beats, host, launched FROM attempts "
#define PG_CONVERSATION_COLUMNS                                                                            \
  "SELECT id, session_id, state, created_at, closed_at, expires_at, reclaimed, last_turn, lost_turn FROM " \
  "conversations "
#define PG_CHECKPOINT_COLUMNS                                                                            \
  "SELECT run_id, conversation_id, turn_number, key, size_bytes, sha256, thread_id, created_at, doomed " \
  "FROM checkpoints "
#define PG_UPLOAD_COLUMNS \
  "SELECT id, sha256, size_bytes, tree, files, created_at, expires_at, workspace_id FROM uploads "
#define PG_ACTION_COLUMNS                                                                                   \
  "SELECT run_id, action_id, action_digest, args_digest, name, target, proposed_seq, policy_seq, "          \
  "policy_decision, policy_reason, requested_seq, settled_seq, approval, approval_reason, started_seq, "    \
  "ended_seq, execution, execution_reason, exit_code, policy_id, policy_version, policy_rule, decided_by, " \
  "duration_ms FROM actions "

// A row whose texts are what they were before they were stored.
class Cells {
 public:
  explicit Cells(Row row) : row_(row) {}

  [[nodiscard]] bool is_null(int column) const { return row_.is_null(column); }
  [[nodiscard]] std::string text(int column) const { return from_stored(row_.view(column)); }
  [[nodiscard]] std::int64_t integer(int column) const { return row_.integer(column); }
  [[nodiscard]] base::Time time(int column) const {
    return base::Time(std::chrono::milliseconds(row_.integer(column)));
  }
  [[nodiscard]] std::optional<base::Time> maybe_time(int column) const {
    if (row_.is_null(column)) return std::nullopt;
    return time(column);
  }

 private:
  Row row_;
};

// One parameter from a part of a record.
inline void add_value(Parameters& to, std::string_view text) {
  to.add(std::string_view(to_stored(text)));
}
inline void add_value(Parameters& to, const std::string& text) {
  add_value(to, std::string_view(text));
}
inline void add_value(Parameters& to, const char* text) {
  add_value(to, std::string_view(text));
}
inline void add_value(Parameters& to, base::Time time) {
  to.add(std::int64_t{time.time_since_epoch().count()});
}
inline void add_value(Parameters& to, std::integral auto number) {
  to.add(static_cast<std::int64_t>(number));
}
template <class Tag>
void add_value(Parameters& to, const base::Id<Tag>& id) {
  add_value(to, std::string_view(id.str()));
}
// Arrays, as they are.
inline void add_value(Parameters& to, const std::vector<std::string>& texts) {
  to.add(texts);
}
inline void add_value(Parameters& to, const std::vector<std::int64_t>& numbers) {
  to.add(numbers);
}
template <class T>
void add_value(Parameters& to, const std::optional<T>& value) {
  if (value) {
    add_value(to, *value);
  } else {
    to.add(std::nullopt);
  }
}

// Parameters in the order of $1, $2, ...
template <class... T>
[[nodiscard]] Parameters values(const T&... parts) {
  Parameters made;
  (add_value(made, parts), ...);
  return made;
}

[[nodiscard]] model::Run read_run(const Cells& row);
[[nodiscard]] model::Event read_event(const Cells& row, const model::RunId& run);
[[nodiscard]] model::Artifact read_artifact(const Cells& row);
[[nodiscard]] Approval read_approval(const Cells& row);
[[nodiscard]] Attempt read_attempt(const Cells& row);
[[nodiscard]] Conversation read_conversation(const Cells& row);
[[nodiscard]] Checkpoint read_checkpoint(const Cells& row);
[[nodiscard]] ActionRecord read_action(const Cells& row);
[[nodiscard]] Upload read_upload(const Cells& row);

// {"name":"value",...}, or empty for none.
[[nodiscard]] std::string tags_text(const model::Tags& tags);

template <class Read>
auto all(const Rows& rows, Read read) {
  std::vector<decltype(read(Cells(rows.front())))> records;
  records.reserve(rows.size());
  for (const auto row : rows) records.push_back(read(Cells(row)));
  return records;
}

template <class Read>
auto one(const Rows& rows, Read read) -> std::optional<decltype(read(Cells(rows.front())))> {
  if (rows.empty()) return std::nullopt;
  return read(Cells(rows.front()));
}

}  // namespace agentrouter::store::postgres
