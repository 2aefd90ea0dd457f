#include "store/sqlite/transaction.h"

#include "store/sqlite/columns.h"
#include "store/sqlite/search_text.h"

namespace agentrouter::store {

namespace {

std::optional<std::string_view> or_null(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return text;
}

// Empty for a scratch tree.
std::string workspace_text(const model::Workspace& workspace) {
  return workspace == model::Workspace() ? std::string() : base::to_text(workspace.to_json());
}

// status, runtime, approval mode, session, conversation, times, failure, the rest: in this order in both
// statements that write a run. `workspace` is borrowed until the statement has run, as `run` is.
void bind_run(Statement& statement, const model::Run& run, const std::string& workspace) {
  statement.bind(to_string(run.status)).bind(to_string(run.runtime.kind)).bind(run.runtime.mode);
  statement.bind(run.runtime.model).bind(to_string(run.approval_mode));
  if (run.session_id) {
    statement.bind(run.session_id->str());
  } else {
    statement.bind_null();
  }
  statement.bind(run.conversation_id.str()).bind(to_column(run.queued_at)).bind(to_column(run.started_at));
  statement.bind(to_column(run.completed_at)).bind(to_column(run.cancel_requested_at));
  if (run.failure) {
    statement.bind(run.failure->code).bind(run.failure->reason).bind(run.failure->cause);
  } else {
    statement.bind_null().bind_null().bind_null();
  }
  statement.bind(or_null(workspace)).bind(or_null(run.workspace.tree));
  statement.bind(std::int64_t{run.priority}).bind(std::int64_t{run.attempts});
  statement.bind(std::int64_t{run.turn_number}).bind(run.turn_id);
  if (run.approval_timeout) {
    statement.bind(std::int64_t{run.approval_timeout->count()});
  } else {
    statement.bind_null();
  }
}

}  // namespace

void SqliteTransaction::forget_after(Mark mark) {
  events_.resize(mark.events);
  changes_.erase(changes_.begin() + static_cast<std::ptrdiff_t>(mark.changes), changes_.end());
}

void SqliteTransaction::check_turn(const model::Run& run) {
  auto statement = connection_.statement("SELECT 1 FROM runs WHERE conversation_id = ? AND turn_number = ?");
  statement.bind(run.conversation_id.str()).bind(std::int64_t{run.turn_number});
  if (!statement.step()) return;
  base::throw_failure(
      base::Code::conflict,
      "conversation " + run.conversation_id.str() + " has a turn " + std::to_string(run.turn_number),
      "turn_taken");
}

std::int64_t SqliteTransaction::insert_run_row(const model::Run& run, std::string_view share,
                                               std::string_view lane) {
  const auto tags = tags_text(run.tags);
  const auto workspace = workspace_text(run.workspace);
  auto statement = connection_.statement(
      "INSERT INTO runs (status, runtime_kind, runtime_mode, runtime_model, approval_mode, session_id, "
      "conversation_id, queued_at, started_at, completed_at, cancel_requested_at, failure_code, "
      "failure_reason, failure_cause, workspace, tree, priority, attempts, turn_number, turn_id, "
      "approval_timeout, tags, id, share, lane, workspace_id, forked_run, forked_conversation, forked_turn) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  bind_run(statement, run, workspace);
  statement.bind(tags).bind(run.id.str()).bind(share).bind(lane).bind(run.workspace_id);
  if (const auto& origin = run.forked_from) {
    statement.bind(origin->run.str()).bind(origin->conversation.str()).bind(std::int64_t{origin->turn});
  } else {
    statement.bind_null().bind_null().bind_null();
  }
  statement.run();
  return sqlite3_last_insert_rowid(connection_.handle());
}

void SqliteTransaction::insert_run(const model::Run& run, std::string_view share, std::string_view lane) {
  check_turn(run);
  const auto number = insert_run_row(run, share, lane);
  connection_.statement("INSERT INTO run_texts (run, task, input) VALUES (?, ?, ?)")
      .bind(number)
      .bind(run.task)
      .bind(run.input)
      .run();
  for (const auto& [name, value] : run.tags) {
    connection_
        .statement("INSERT INTO run_tags (workspace_id, name, value, queued_at, run) VALUES (?, ?, ?, ?, ?)")
        .bind(run.workspace_id)
        .bind(name)
        .bind(value)
        .bind(to_column(run.queued_at))
        .bind(number)
        .run();
  }
  index_task(connection_, number, run.workspace_id, run.task);
  if (run.turn_number == 1) {
    Conversation conversation;
    conversation.id = run.conversation_id;
    conversation.session_id = run.session_id;
    conversation.created_at = run.queued_at;
    put_conversation(conversation);
  }
  changes_.push_back({run.id, run.status});
}

void SqliteTransaction::update_run(const model::Run& run) {
  std::string before;
  {
    auto statement = connection_.statement("SELECT status FROM runs WHERE id = ?");
    statement.bind(run.id.str());
    if (!statement.step())
      base::throw_failure(base::Code::not_found, "no run " + run.id.str(), "run_not_found");
    before = statement.text(0);
  }
  const auto workspace = workspace_text(run.workspace);
  auto statement = connection_.statement(
      "UPDATE runs SET status = ?, runtime_kind = ?, runtime_mode = ?, runtime_model = ?, approval_mode = ?, "
      "session_id = ?, conversation_id = ?, queued_at = ?, started_at = ?, completed_at = ?, "
      "cancel_requested_at = ?, failure_code = ?, failure_reason = ?, failure_cause = ?, workspace = ?, "
      "tree = ?, priority = ?, attempts = ?, turn_number = ?, turn_id = ?, approval_timeout = ? WHERE id = "
      "?");
  bind_run(statement, run, workspace);
  statement.bind(run.id.str()).run();
  if (before != to_string(run.status)) changes_.push_back({run.id, run.status});
}

model::Event SqliteTransaction::append(const model::RunId& run, const model::EventDraft& draft) {
  std::int64_t number = 0;
  model::Event event;
  static_cast<model::EventDraft&>(event) = draft;
  event.run_id = run;
  {
    auto statement = connection_.statement(
        "UPDATE runs SET last_event_seq = last_event_seq + 1 WHERE id = ? AND status NOT IN "
        "('completed', 'failed', 'cancelled') RETURNING n, last_event_seq");
    statement.bind(run.str());
    if (statement.step()) {
      number = statement.integer(0);
      event.sequence = statement.integer(1);
      statement.run();
    }
  }
  if (number == 0) {
    if (rows_.number_of(run) == 0)
      base::throw_failure(base::Code::not_found, "no run " + run.str(), "run_not_found");
    base::throw_failure(base::Code::conflict, "cannot append to run " + run.str() + ": it has ended",
                        "run_not_active");
  }
  auto statement = connection_.statement("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  statement.bind(event_key(number, event.sequence)).bind(event.type).bind(to_string(event.source));
  statement.bind(to_string(event.visibility)).bind(or_null(event.provider_event_type)).bind(event.payload);
  if (event.artifact_ref) {
    statement.bind(event.artifact_ref->artifact_id.str()).bind(event.artifact_ref->r2_key);
  } else {
    statement.bind_null().bind_null();
  }
  statement.bind(std::int64_t{event.truncated}).bind(to_column(event.created_at)).run();
  if (event.type == "agent.response") {
    const auto earlier = rows_.last_event_of_type(run, event.type);
    index_answer(connection_, number, rows_.workspace_of(run), earlier ? answer_text(earlier->payload) : "",
                 answer_text(event.payload));
  }
  connection_
      .statement(
          "INSERT INTO newest_events VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sequence = excluded.sequence")
      .bind(number)
      .bind(event.type)
      .bind(event.sequence)
      .run();
  events_.push_back(event);
  return event;
}

void SqliteTransaction::put_artifact(const model::Artifact& artifact) {
  auto statement = connection_.statement(
      "INSERT INTO artifacts (id, run_id, kind, r2_key, content_type, size_bytes, sha256, metadata, "
      "created_at) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET run_id = excluded.run_id, "
      "kind = excluded.kind, r2_key = excluded.r2_key, content_type = excluded.content_type, "
      "size_bytes = excluded.size_bytes, sha256 = excluded.sha256, metadata = excluded.metadata, "
      "created_at = excluded.created_at");
  statement.bind(artifact.id.str()).bind(artifact.run_id.str()).bind(artifact.kind).bind(artifact.r2_key);
  statement.bind(artifact.content_type)
      .bind(artifact.size_bytes)
      .bind(artifact.sha256)
      .bind(artifact.metadata);
  statement.bind(to_column(artifact.created_at)).run();
}

void SqliteTransaction::put_conversation(const Conversation& conversation) {
  auto statement = connection_.statement(
      "INSERT INTO conversations (id, session_id, state, created_at, closed_at, expires_at, reclaimed, "
      "last_turn, lost_turn) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET session_id = excluded.session_id, "
      "state = excluded.state, created_at = excluded.created_at, closed_at = excluded.closed_at, "
      "expires_at = excluded.expires_at, reclaimed = excluded.reclaimed, last_turn = excluded.last_turn, "
      "lost_turn = excluded.lost_turn");
  statement.bind(conversation.id.str());
  if (conversation.session_id) {
    statement.bind(conversation.session_id->str());
  } else {
    statement.bind_null();
  }
  statement.bind(to_string(conversation.state)).bind(to_column(conversation.created_at));
  statement.bind(to_column(conversation.closed_at)).bind(to_column(conversation.expires_at));
  statement.bind(std::int64_t{conversation.reclaimed});
  statement.bind(std::int64_t{conversation.last_turn}).bind(std::int64_t{conversation.lost_turn}).run();
  if (conversation.state != ConversationState::closed || conversation.reclaimed) return;
  const auto first = run(conversation.id);  // it may have been deleted
  changes_.push_back({conversation.id, first ? first->status : model::RunStatus::completed});
}

void SqliteTransaction::put_checkpoint(const Checkpoint& checkpoint) {
  auto statement = connection_.statement(
      "INSERT INTO checkpoints (run_id, conversation_id, turn_number, key, size_bytes, sha256, thread_id, "
      "created_at, doomed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (conversation_id, turn_number) DO UPDATE SET run_id = excluded.run_id, "
      "key = excluded.key, size_bytes = excluded.size_bytes, sha256 = excluded.sha256, "
      "thread_id = excluded.thread_id, created_at = excluded.created_at, doomed = excluded.doomed");
  statement.bind(checkpoint.run_id.str()).bind(checkpoint.conversation_id.str());
  statement.bind(std::int64_t{checkpoint.turn_number}).bind(checkpoint.key).bind(checkpoint.size_bytes);
  statement.bind(checkpoint.sha256).bind(checkpoint.thread_id).bind(to_column(checkpoint.created_at));
  statement.bind(std::int64_t{checkpoint.doomed}).run();
}

void SqliteTransaction::delete_checkpoint(const model::RunId& conversation, int turn_number) {
  connection_.statement("DELETE FROM checkpoints WHERE conversation_id = ? AND turn_number = ?")
      .bind(conversation.str())
      .bind(std::int64_t{turn_number})
      .run();
}

void SqliteTransaction::put_action(const ActionRecord& action) {
  auto statement = connection_.statement(
      "INSERT INTO actions (run_id, action_id, action_digest, args_digest, name, target, proposed_seq, "
      "policy_seq, policy_decision, policy_reason, requested_seq, settled_seq, approval, approval_reason, "
      "started_seq, ended_seq, execution, execution_reason, exit_code, policy_id, policy_version, "
      "policy_rule, decided_by, duration_ms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (run_id, action_id) DO UPDATE SET action_digest = excluded.action_digest, "
      "args_digest = excluded.args_digest, name = excluded.name, target = excluded.target, "
      "proposed_seq = excluded.proposed_seq, policy_seq = excluded.policy_seq, "
      "policy_decision = excluded.policy_decision, policy_reason = excluded.policy_reason, "
      "requested_seq = excluded.requested_seq, settled_seq = excluded.settled_seq, "
      "approval = excluded.approval, approval_reason = excluded.approval_reason, "
      "started_seq = excluded.started_seq, ended_seq = excluded.ended_seq, execution = excluded.execution, "
      "execution_reason = excluded.execution_reason, exit_code = excluded.exit_code, "
      "policy_id = excluded.policy_id, policy_version = excluded.policy_version, "
      "policy_rule = excluded.policy_rule, decided_by = excluded.decided_by, "
      "duration_ms = excluded.duration_ms");
  statement.bind(action.run_id.str()).bind(action.action_id.str()).bind(action.action_digest);
  statement.bind(action.args_digest).bind(action.name).bind(action.target).bind(action.proposed_seq);
  statement.bind(action.policy_seq).bind(action.policy_decision).bind(action.policy_reason);
  statement.bind(action.requested_seq).bind(action.settled_seq).bind(action.approval);
  statement.bind(action.approval_reason).bind(action.started_seq).bind(action.ended_seq);
  statement.bind(action.execution).bind(action.execution_reason).bind(action.exit_code);
  statement.bind(action.policy_id).bind(action.policy_version).bind(action.policy_rule);
  statement.bind(action.decided_by).bind(action.duration_ms).run();
}

void SqliteTransaction::put_approval(const Approval& approval) {
  auto statement = connection_.statement(
      "INSERT INTO approvals (run_id, action_id, action_digest, args_digest, request_id, requested_event_id, "
      "state, reason, decided_seq, delivered, expires_at, decided_by, requested_at, workspace_id) "
      "VALUES (?1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
      "coalesce((SELECT workspace_id FROM runs WHERE id = ?1), 'default')) "
      "ON CONFLICT (run_id, action_id) DO UPDATE SET action_digest = excluded.action_digest, "
      "args_digest = excluded.args_digest, request_id = excluded.request_id, "
      "requested_event_id = excluded.requested_event_id, state = excluded.state, reason = excluded.reason, "
      "decided_seq = excluded.decided_seq, delivered = excluded.delivered, expires_at = excluded.expires_at, "
      "decided_by = excluded.decided_by, requested_at = excluded.requested_at");
  statement.bind(approval.run_id.str()).bind(approval.action_id.str()).bind(approval.action_digest);
  statement.bind(approval.args_digest).bind(approval.request_id).bind(approval.requested_event_id);
  statement.bind(to_string(approval.state)).bind(approval.reason).bind(approval.decided_seq);
  statement.bind(std::int64_t{approval.delivered}).bind(to_column(approval.expires_at));
  statement.bind(approval.decided_by).bind(to_column(approval.requested_at)).run();
}

void SqliteTransaction::insert_attempt(const Attempt& attempt) {
  auto statement = connection_.statement(
      "INSERT INTO attempts (id, run_id, number, worker_id, token, lease_until, slot, journal_offset, open, "
      "lower_path, closing, created_at, beats, host, launched) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  statement.bind(attempt.id.str()).bind(attempt.run_id.str()).bind(std::int64_t{attempt.number});
  statement.bind(attempt.worker_id).bind(attempt.token).bind(to_column(attempt.lease_until));
  statement.bind(std::int64_t{attempt.slot}).bind(attempt.journal_offset).bind(std::int64_t{attempt.open});
  statement.bind(attempt.lower_path).bind(attempt.closing).bind(to_column(attempt.created_at));
  statement.bind(attempt.beats).bind(attempt.host).bind(std::int64_t{attempt.launched}).run();
}

void SqliteTransaction::update_attempt(const Attempt& attempt) {
  auto statement = connection_.statement(
      "UPDATE attempts SET worker_id = ?, token = ?, lease_until = ?, slot = ?, journal_offset = ?, open = "
      "?, "
      "lower_path = ?, closing = ?, beats = ?, host = ?, launched = ? WHERE id = ?");
  statement.bind(attempt.worker_id).bind(attempt.token).bind(to_column(attempt.lease_until));
  statement.bind(std::int64_t{attempt.slot}).bind(attempt.journal_offset).bind(std::int64_t{attempt.open});
  statement.bind(attempt.lower_path).bind(attempt.closing).bind(attempt.beats).bind(attempt.host);
  statement.bind(std::int64_t{attempt.launched}).bind(attempt.id.str()).run();
  if (sqlite3_changes(connection_.handle()) == 0) {
    base::throw_failure(base::Code::not_found, "no attempt " + attempt.id.str(), "attempt_not_found");
  }
}

void SqliteTransaction::put_idempotency_key(const IdempotencyKey& key) {
  auto statement = connection_.statement(
      "INSERT INTO idempotency_keys (key_hash, body_hash, run_id, expires_at, event_seq) "
      "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET body_hash = excluded.body_hash, "
      "run_id = excluded.run_id, expires_at = excluded.expires_at, event_seq = excluded.event_seq");
  statement.bind(key.key_hash)
      .bind(key.body_hash)
      .bind(key.run_id.str())
      .bind(to_column(key.expires_at))
      .bind(key.event_seq)
      .run();
}

int SqliteTransaction::purge_idempotency_keys(base::Time expired_before, int limit) {
  connection_
      .statement(
          "DELETE FROM idempotency_keys WHERE key_hash IN (SELECT key_hash FROM idempotency_keys "
          "WHERE expires_at < ? ORDER BY expires_at LIMIT ?)")
      .bind(to_column(expired_before))
      .bind(std::int64_t{limit})
      .run();
  return sqlite3_changes(connection_.handle());
}

void SqliteTransaction::put_upload(const Upload& upload) {
  auto statement = connection_.statement(
      "INSERT INTO uploads (id, sha256, size_bytes, tree, files, created_at, expires_at, workspace_id) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, "
      "size_bytes = excluded.size_bytes, tree = excluded.tree, files = excluded.files, "
      "created_at = excluded.created_at, expires_at = excluded.expires_at");
  statement.bind(upload.id).bind(upload.sha256).bind(upload.size_bytes).bind(upload.tree).bind(upload.files);
  statement.bind(to_column(upload.created_at)).bind(to_column(upload.expires_at));
  statement.bind(upload.workspace_id).run();
}

void SqliteTransaction::purge_uploads(base::Time now) {
  connection_.statement("DELETE FROM uploads WHERE expires_at <= ?").bind(to_column(now)).run();
}

int SqliteTransaction::free_slot() {
  auto statement = connection_.statement("SELECT slot FROM attempts WHERE open = 1 ORDER BY slot");
  int free = 0;
  while (statement.step() && statement.integer(0) == free) ++free;
  return free;
}

}  // namespace agentrouter::store
