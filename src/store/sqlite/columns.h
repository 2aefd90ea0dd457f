#pragma once
// How a row becomes a record: for each record the columns that a query asks for, and what reads them in this
// order.

#include "store/sqlite/statement.h"
#include "store/store.h"

namespace agentrouter::store {

// Macros, so that every SQL text is a literal that is joined at compile time.
#define RUN_VALUES                                                                                        \
  "SELECT r.id, status, runtime_kind, runtime_mode, runtime_model, approval_mode, last_event_seq, "       \
  "session_id, conversation_id, queued_at, started_at, completed_at, cancel_requested_at, failure_code, " \
  "failure_reason, failure_cause, workspace, priority, attempts, turn_number, turn_id, tags, "            \
  "approval_timeout, t.task, t.input, forked_run, forked_conversation, forked_turn, workspace_id "
#define RUN_COLUMNS RUN_VALUES "FROM runs r JOIN run_texts t ON t.run = r.n "
#define EVENT_COLUMNS                                                                                    \
  "SELECT key, type, source, visibility, provider_event_type, payload, artifact_id, r2_key, truncated, " \
  "created_at FROM events "
#define ARTIFACT_COLUMNS \
  "SELECT id, run_id, kind, r2_key, content_type, size_bytes, sha256, metadata, created_at FROM artifacts "
#define APPROVAL_COLUMNS                                                                                  \
  "SELECT run_id, action_id, action_digest, args_digest, request_id, requested_event_id, state, reason, " \
  "decided_seq, delivered, expires_at, decided_by, requested_at, n FROM approvals "
#define ATTEMPT_COLUMNS                                                                                \
  "SELECT id, run_id, number, worker_id, token, lease_until, slot, journal_offset, open, lower_path, " \
  "closing, created_at, beats, host, launched FROM attempts "

#define CONVERSATION_COLUMNS                                                                               \
  "SELECT id, session_id, state, created_at, closed_at, expires_at, reclaimed, last_turn, lost_turn FROM " \
  "conversations "
#define CHECKPOINT_COLUMNS                                                                               \
  "SELECT run_id, conversation_id, turn_number, key, size_bytes, sha256, thread_id, created_at, doomed " \
  "FROM checkpoints "
#define UPLOAD_COLUMNS \
  "SELECT id, sha256, size_bytes, tree, files, created_at, expires_at, workspace_id FROM uploads "
#define ACTION_COLUMNS                                                                                      \
  "SELECT run_id, action_id, action_digest, args_digest, name, target, proposed_seq, policy_seq, "          \
  "policy_decision, policy_reason, requested_seq, settled_seq, approval, approval_reason, started_seq, "    \
  "ended_seq, execution, execution_reason, exit_code, policy_id, policy_version, policy_rule, decided_by, " \
  "duration_ms FROM actions "

[[nodiscard]] model::Run read_run(const Statement& row);
[[nodiscard]] model::Event read_event(const Statement& row, const model::RunId& run);
[[nodiscard]] model::Artifact read_artifact(const Statement& row);
[[nodiscard]] Approval read_approval(const Statement& row);
[[nodiscard]] Attempt read_attempt(const Statement& row);
[[nodiscard]] Conversation read_conversation(const Statement& row);
[[nodiscard]] Checkpoint read_checkpoint(const Statement& row);
[[nodiscard]] ActionRecord read_action(const Statement& row);
[[nodiscard]] Upload read_upload(const Statement& row);

// {"name":"value",...}, or empty for none.
[[nodiscard]] std::string tags_text(const model::Tags& tags);
[[nodiscard]] base::Time time_at(const Statement& row, int column);
[[nodiscard]] std::optional<base::Time> maybe_time(const Statement& row, int column);

template <class Read>
auto all(Statement statement, Read read) {
  std::vector<decltype(read(statement))> rows;
  while (statement.step()) rows.push_back(read(statement));
  return rows;
}

template <class Read>
auto one(Statement statement, Read read) -> std::optional<decltype(read(statement))> {
  if (!statement.step()) return std::nullopt;
  return read(statement);
}

}  // namespace agentrouter::store
