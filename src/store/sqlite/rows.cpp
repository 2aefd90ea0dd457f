#include "store/sqlite/rows.h"

#include "store/sqlite/columns.h"

namespace agentrouter::store {

namespace {

model::RunId read_run_id(const Statement& row) {
  return model::RunId(row.text(0));
}

}  // namespace

std::int64_t Rows::number_of(const model::RunId& id) {
  auto statement = connection_.statement("SELECT n FROM runs WHERE id = ?");
  statement.bind(id.str());
  return statement.step() ? statement.integer(0) : 0;
}

std::optional<model::Run> Rows::run(const std::string& scope, const model::RunId& id) {
  if (!scope.empty()) {
    auto statement = connection_.statement(
        RUN_VALUES
        "FROM runs r INDEXED BY runs_of_workspace CROSS JOIN run_texts t ON t.run = r.n "
        "WHERE r.workspace_id = ? AND r.id = ?");
    statement.bind(scope).bind(id.str());
    return one(std::move(statement), read_run);
  }
  auto statement = connection_.statement(RUN_COLUMNS "WHERE r.id = ?");
  statement.bind(id.str());
  return one(std::move(statement), read_run);
}

std::string Rows::workspace_of(const model::RunId& id) {
  auto statement = connection_.statement("SELECT workspace_id FROM runs WHERE id = ?");
  statement.bind(id.str());
  return statement.step() ? statement.text(0) : std::string();
}

bool Rows::is_in(const std::string& workspace, const model::RunId& id) {
  auto statement = connection_.statement(
      "SELECT 1 FROM runs INDEXED BY runs_of_workspace WHERE workspace_id = ? AND id = ?");
  statement.bind(workspace).bind(id.str());
  return statement.step();
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
  return all(connection_.statement(ATTEMPT_COLUMNS "INDEXED BY attempts_open WHERE open = 1 ORDER BY n"),
             read_attempt);
}

std::optional<IdempotencyKey> Rows::idempotency_key(std::string_view key_hash) {
  auto statement = connection_.statement(
      "SELECT key_hash, body_hash, run_id, expires_at, event_seq FROM idempotency_keys WHERE key_hash = ?");
  statement.bind(key_hash);
  return one(std::move(statement), [](const Statement& row) {
    return IdempotencyKey{row.text(0), row.text(1), model::RunId(row.text(2)), time_at(row, 3),
                          row.integer(4)};
  });
}

std::vector<model::RunId> Rows::cancelling_runs_without_attempt() {
  return all(
      connection_.statement("SELECT id FROM runs r WHERE status = 'cancelling' AND NOT EXISTS "
                            "(SELECT 1 FROM attempts a WHERE a.run_id = r.id AND a.open = 1) ORDER BY n"),
      read_run_id);
}

}  // namespace agentrouter::store
