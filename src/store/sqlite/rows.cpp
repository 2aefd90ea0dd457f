#include "store/sqlite/rows.h"

namespace agentrouter::store {

namespace {

// Macros, so that every SQL text is a literal that is joined at compile time.
#define RUN_COLUMNS                                                                                       \
  "SELECT r.id, status, runtime_kind, runtime_mode, runtime_model, approval_mode, last_event_seq, "       \
  "session_id, conversation_id, queued_at, started_at, completed_at, cancel_requested_at, failure_code, " \
  "failure_reason, failure_cause, workspace_path, priority, attempts, t.task, t.input "                   \
  "FROM runs r JOIN run_texts t ON t.run = r.n "
#define EVENT_COLUMNS                                                                                    \
  "SELECT key, type, source, visibility, provider_event_type, payload, artifact_id, r2_key, truncated, " \
  "created_at FROM events "
#define ARTIFACT_COLUMNS \
  "SELECT id, run_id, kind, r2_key, content_type, size_bytes, sha256, metadata, created_at FROM artifacts "
#define APPROVAL_COLUMNS                                                                                  \
  "SELECT run_id, action_id, action_digest, args_digest, request_id, requested_event_id, state, reason, " \
  "decided_seq, delivered FROM approvals "
#define ATTEMPT_COLUMNS                                                                                \
  "SELECT id, run_id, number, worker_id, token, lease_until, slot, journal_offset, open, lower_path, " \
  "closing, created_at FROM attempts "

base::Time time_at(const Statement& row, int column) {
  return base::Time(std::chrono::milliseconds(row.integer(column)));
}

std::optional<base::Time> maybe_time(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return time_at(row, column);
}

model::Run read_run(const Statement& row) {
  model::Run run;
  run.id = model::RunId(row.text(0));
  const auto status = model::parse_run_status(row.text(1));
  const auto mode = model::parse_approval_mode(row.text(5));
  if (!status || !mode) {
    base::throw_failure(base::Code::corrupt, "cannot read run " + run.id.str() + ": unknown state",
                        "store_corrupt");
  }
  run.status = *status;
  run.runtime.kind = row.text(2) == to_string(model::RuntimeKind::codex) ? model::RuntimeKind::codex
                                                                         : model::RuntimeKind::claude_code;
  run.runtime.mode = row.text(3);
  if (!row.is_null(4)) run.runtime.model = row.text(4);
  run.approval_mode = *mode;
  run.last_event_seq = row.integer(6);
  if (!row.is_null(7)) run.session_id = model::SessionId(row.text(7));
  run.conversation_id = model::RunId(row.text(8));
  run.queued_at = time_at(row, 9);
  run.started_at = maybe_time(row, 10);
  run.completed_at = maybe_time(row, 11);
  run.cancel_requested_at = maybe_time(row, 12);
  if (!row.is_null(13)) run.failure = model::RunFailure{row.text(13), row.text(14), row.text(15)};
  run.workspace_path = row.text(16);
  run.priority = static_cast<int>(row.integer(17));
  run.attempts = static_cast<int>(row.integer(18));
  run.task = row.text(19);
  run.input = row.text(20);
  return run;
}

model::Event read_event(const Statement& row, const model::RunId& run) {
  model::Event event;
  event.run_id = run;
  event.sequence = row.integer(0) & 0xffffffff;
  event.type = row.text(1);
  event.source = model::parse_event_source(row.text(2));
  event.visibility = model::parse_visibility(row.text(3));
  event.provider_event_type = row.text(4);
  event.payload = row.text(5);
  if (!row.is_null(6)) event.artifact_ref = model::ArtifactRef{model::ArtifactId(row.text(6)), row.text(7)};
  event.truncated = row.integer(8) != 0;
  event.created_at = time_at(row, 9);
  return event;
}

model::Artifact read_artifact(const Statement& row) {
  model::Artifact artifact;
  artifact.id = model::ArtifactId(row.text(0));
  artifact.run_id = model::RunId(row.text(1));
  artifact.kind = row.text(2);
  artifact.r2_key = row.text(3);
  artifact.content_type = row.text(4);
  artifact.size_bytes = row.integer(5);
  artifact.sha256 = row.text(6);
  artifact.metadata = row.text(7);
  artifact.created_at = time_at(row, 8);
  return artifact;
}

Approval read_approval(const Statement& row) {
  Approval approval;
  approval.run_id = model::RunId(row.text(0));
  approval.action_id = model::ActionId(row.text(1));
  approval.action_digest = row.text(2);
  approval.args_digest = row.text(3);
  approval.request_id = row.text(4);
  approval.requested_event_id = row.text(5);
  // A state that this version does not know must never look like one that allows something.
  approval.state = parse_approval_state(row.text(6)).value_or(ApprovalState::void_);
  approval.reason = row.text(7);
  approval.decided_seq = row.integer(8);
  approval.delivered = row.integer(9) != 0;
  return approval;
}

Attempt read_attempt(const Statement& row) {
  Attempt attempt;
  attempt.id = model::AttemptId(row.text(0));
  attempt.run_id = model::RunId(row.text(1));
  attempt.number = static_cast<int>(row.integer(2));
  attempt.worker_id = row.text(3);
  attempt.token = row.integer(4);
  attempt.lease_until = time_at(row, 5);
  attempt.slot = static_cast<int>(row.integer(6));
  attempt.journal_offset = row.integer(7);
  attempt.open = row.integer(8) != 0;
  attempt.lower_path = row.text(9);
  attempt.closing = row.text(10);
  attempt.created_at = time_at(row, 11);
  return attempt;
}

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

model::RunId read_run_id(const Statement& row) {
  return model::RunId(row.text(0));
}

}  // namespace

std::int64_t Rows::number_of(const model::RunId& id) {
  auto statement = connection_.statement("SELECT n FROM runs WHERE id = ?");
  statement.bind(id.str());
  return statement.step() ? statement.integer(0) : 0;
}

std::optional<model::Run> Rows::run(const model::RunId& id) {
  auto statement = connection_.statement(RUN_COLUMNS "WHERE r.id = ?");
  statement.bind(id.str());
  return one(std::move(statement), read_run);
}

std::vector<model::Run> Rows::runs(const RunQuery& query) {
  if (!query.status) {
    auto statement = connection_.statement(RUN_COLUMNS "ORDER BY queued_at DESC, r.n DESC LIMIT ?");
    statement.bind(std::int64_t{query.limit});
    return all(std::move(statement), read_run);
  }
  if (*query.status == "active") {
    auto statement = connection_.statement(RUN_COLUMNS
                                           "WHERE status IN ('queued', 'starting', 'running', 'cancelling') "
                                           "ORDER BY queued_at DESC, r.n DESC LIMIT ?");
    statement.bind(std::int64_t{query.limit});
    return all(std::move(statement), read_run);
  }
  auto statement =
      connection_.statement(RUN_COLUMNS "WHERE status = ? ORDER BY queued_at DESC, r.n DESC LIMIT ?");
  statement.bind(*query.status).bind(std::int64_t{query.limit});
  return all(std::move(statement), read_run);
}

std::vector<model::Event> Rows::events(const model::RunId& id, model::Seq after, int limit) {
  constexpr model::Seq most = 0xffffffff;
  const auto number = number_of(id);
  if (number == 0 || after >= most) return {};
  auto statement = connection_.statement(EVENT_COLUMNS "WHERE key > ? AND key <= ? ORDER BY key LIMIT ?");
  statement.bind(event_key(number, std::max<model::Seq>(after, 0))).bind(event_key(number, most));
  statement.bind(std::int64_t{limit});
  return all(std::move(statement), [&](const Statement& row) { return read_event(row, id); });
}

std::optional<model::Event> Rows::event(const model::RunId& id, model::Seq sequence) {
  const auto number = number_of(id);
  if (number == 0 || sequence <= 0 || sequence > 0xffffffff) return std::nullopt;
  auto statement = connection_.statement(EVENT_COLUMNS "WHERE key = ?");
  statement.bind(event_key(number, sequence));
  return one(std::move(statement), [&](const Statement& row) { return read_event(row, id); });
}

std::optional<model::Event> Rows::last_event_of_type(const model::RunId& id, std::string_view type) {
  const auto number = number_of(id);
  model::Seq newest = 0;
  {
    auto statement = connection_.statement("SELECT sequence FROM newest_events WHERE run = ? AND type = ?");
    statement.bind(number).bind(type);
    if (statement.step()) newest = statement.integer(0);
  }
  return event(id, newest);
}

std::vector<model::Artifact> Rows::artifacts(const model::RunId& id) {
  auto statement = connection_.statement(ARTIFACT_COLUMNS "WHERE run_id = ? ORDER BY created_at, n");
  statement.bind(id.str());
  return all(std::move(statement), read_artifact);
}

std::optional<model::Artifact> Rows::artifact(const model::ArtifactId& id) {
  auto statement = connection_.statement(ARTIFACT_COLUMNS "WHERE id = ?");
  statement.bind(id.str());
  return one(std::move(statement), read_artifact);
}

std::optional<Approval> Rows::approval(const model::RunId& run, const model::ActionId& action) {
  auto statement = connection_.statement(APPROVAL_COLUMNS "WHERE run_id = ? AND action_id = ?");
  statement.bind(run.str()).bind(action.str());
  return one(std::move(statement), read_approval);
}

std::vector<Approval> Rows::undelivered_approvals(const model::RunId& run) {
  auto statement = connection_.statement(
      APPROVAL_COLUMNS "WHERE run_id = ? AND state <> 'pending' AND delivered = 0 ORDER BY decided_seq");
  statement.bind(run.str());
  return all(std::move(statement), read_approval);
}

std::vector<Approval> Rows::pending_approvals(const model::RunId& run) {
  auto statement =
      connection_.statement(APPROVAL_COLUMNS "WHERE run_id = ? AND state = 'pending' ORDER BY n");
  statement.bind(run.str());
  return all(std::move(statement), read_approval);
}

std::optional<Attempt> Rows::attempt(const model::AttemptId& id) {
  auto statement = connection_.statement(ATTEMPT_COLUMNS "WHERE id = ?");
  statement.bind(id.str());
  return one(std::move(statement), read_attempt);
}

std::optional<Attempt> Rows::latest_attempt(const model::RunId& run) {
  auto statement = connection_.statement(ATTEMPT_COLUMNS "WHERE run_id = ? ORDER BY number DESC LIMIT 1");
  statement.bind(run.str());
  return one(std::move(statement), read_attempt);
}

std::vector<Attempt> Rows::open_attempts() {
  return all(connection_.statement(ATTEMPT_COLUMNS "WHERE open = 1 ORDER BY n"), read_attempt);
}

std::optional<IdempotencyKey> Rows::idempotency_key(std::string_view key_hash) {
  auto statement = connection_.statement(
      "SELECT key_hash, body_hash, run_id, expires_at FROM idempotency_keys WHERE key_hash = ?");
  statement.bind(key_hash);
  return one(std::move(statement), [](const Statement& row) {
    return IdempotencyKey{row.text(0), row.text(1), model::RunId(row.text(2)), time_at(row, 3)};
  });
}

std::vector<model::RunId> Rows::queued_runs(int limit) {
  auto statement =
      connection_.statement("SELECT id FROM runs WHERE status = 'queued' ORDER BY priority DESC, n LIMIT ?");
  statement.bind(std::int64_t{limit});
  return all(std::move(statement), read_run_id);
}

std::vector<model::RunId> Rows::cancelling_runs_without_attempt() {
  return all(
      connection_.statement("SELECT id FROM runs r WHERE status = 'cancelling' AND NOT EXISTS "
                            "(SELECT 1 FROM attempts a WHERE a.run_id = r.id AND a.open = 1) ORDER BY n"),
      read_run_id);
}

}  // namespace agentrouter::store
