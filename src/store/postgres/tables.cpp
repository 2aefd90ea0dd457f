#include "store/postgres/tables.h"

namespace agentrouter::store::postgres {

namespace {

// Every event of a run is in the partition of the run's month: with it the others are not looked at.
#define PG_OF_RUN "WHERE run = $1 AND month = $2 "

model::RunId read_run_id(const Cells& row) {
  return model::RunId(row.text(0));
}

IdempotencyKey read_key(const Cells& row) {
  return {row.text(0), row.text(1), model::RunId(row.text(2)), row.time(3), row.integer(4)};
}

}  // namespace

std::optional<KnownRun> Tables::place_of(const model::RunId& id) {
  static constexpr Statement find{"run_place",
                                  "SELECT n, month, last_event_seq, status FROM runs WHERE id = $1"};
  if (known_ != nullptr) {
    if (const auto* run = known_->find(id)) return *run;
  }
  const auto found = one(ask(find, id), [](const Cells& row) {
    return KnownRun{row.integer(0), row.integer(1), row.integer(2),
                    model::parse_run_status(row.text(3)).value_or(model::RunStatus::failed)};
  });
  if (found && known_ != nullptr) known_->put(id, *found);
  return found;
}

std::optional<model::Run> Tables::run(const std::string& scope, const model::RunId& id) {
  static constexpr Statement find_within{"run_of_workspace",
                                         PG_RUN_COLUMNS "WHERE r.workspace_id = $1 AND r.id = $2"};
  static constexpr Statement find{"run", PG_RUN_COLUMNS "WHERE r.id = $1"};
  const auto rows = scope.empty() ? ask(find, id) : ask(find_within, scope, id);
  if (rows.empty()) return std::nullopt;
  const Cells row(rows.front());
  auto run = read_run(row);
  if (known_ != nullptr) known_->put(id, {row.integer(28), row.integer(29), run.last_event_seq, run.status});
  return run;
}

std::string Tables::workspace_of(const model::RunId& id) {
  static constexpr Statement find{"workspace_of_run", "SELECT workspace_id FROM runs WHERE id = $1"};
  const auto rows = ask(find, id);
  return rows.empty() ? std::string() : Cells(rows.front()).text(0);
}

std::vector<model::Event> Tables::events(const model::RunId& id, model::Seq after, int limit) {
  static constexpr Statement page{"events",
                                  PG_EVENT_COLUMNS PG_OF_RUN "AND sequence > $3 ORDER BY sequence LIMIT $4"};
  const auto place = place_of(id);
  if (!place) return {};
  return all(ask(page, place->n, place->month, after, limit),
             [&](const Cells& row) { return read_event(row, id); });
}

std::optional<model::Event> Tables::event(const model::RunId& id, model::Seq sequence) {
  static constexpr Statement find{"event", PG_EVENT_COLUMNS PG_OF_RUN "AND sequence = $3"};
  const auto place = place_of(id);
  if (!place) return std::nullopt;
  return one(ask(find, place->n, place->month, sequence),
             [&](const Cells& row) { return read_event(row, id); });
}

std::optional<model::Event> Tables::last_event_of_type(const model::RunId& id, std::string_view type) {
  static constexpr Statement find{"last_event_of_type",
                                  PG_EVENT_COLUMNS PG_OF_RUN "AND type = $3 ORDER BY sequence DESC LIMIT 1"};
  const auto place = place_of(id);
  if (!place) return std::nullopt;
  return one(ask(find, place->n, place->month, type), [&](const Cells& row) { return read_event(row, id); });
}

std::vector<model::Artifact> Tables::artifacts(const model::RunId& id) {
  static constexpr Statement find{"artifacts",
                                  PG_ARTIFACT_COLUMNS "WHERE run_id = $1 ORDER BY created_at, n"};
  return all(ask(find, id), read_artifact);
}

std::optional<model::Artifact> Tables::artifact(const model::ArtifactId& id) {
  static constexpr Statement find{"artifact", PG_ARTIFACT_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_artifact);
}

std::optional<Approval> Tables::approval(const model::RunId& run, const model::ActionId& action) {
  static constexpr Statement find{"approval", PG_APPROVAL_COLUMNS "WHERE run_id = $1 AND action_id = $2"};
  return one(ask(find, run, action), read_approval);
}

std::vector<Approval> Tables::undelivered_approvals(const model::RunId& run) {
  static constexpr Statement find{
      "undelivered_approvals",
      PG_APPROVAL_COLUMNS "WHERE run_id = $1 AND state <> 'pending' AND delivered = 0 ORDER BY decided_seq"};
  return all(ask(find, run), read_approval);
}

std::vector<Approval> Tables::pending_approvals(const model::RunId& run) {
  static constexpr Statement find{"pending_approvals_of_run",
                                  PG_APPROVAL_COLUMNS "WHERE run_id = $1 AND state = 'pending' ORDER BY n"};
  return all(ask(find, run), read_approval);
}

std::optional<Attempt> Tables::attempt(const model::AttemptId& id) {
  static constexpr Statement find{"attempt", PG_ATTEMPT_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_attempt);
}

std::optional<Attempt> Tables::latest_attempt(const model::RunId& run) {
  static constexpr Statement find{"latest_attempt",
                                  PG_ATTEMPT_COLUMNS "WHERE run_id = $1 ORDER BY number DESC LIMIT 1"};
  return one(ask(find, run), read_attempt);
}

std::vector<Attempt> Tables::open_attempts() {
  static constexpr Statement find{"open_attempts", PG_ATTEMPT_COLUMNS "WHERE open = 1 ORDER BY n"};
  return all(ask(find), read_attempt);
}

std::optional<IdempotencyKey> Tables::idempotency_key(std::string_view key_hash) {
  static constexpr Statement find{
      "idempotency_key",
      "SELECT key_hash, body_hash, run_id, expires_at, event_seq FROM idempotency_keys WHERE key_hash = $1"};
  return one(ask(find, key_hash), read_key);
}

std::vector<model::RunId> Tables::cancelling_runs_without_attempt() {
  static constexpr Statement find{
      "cancelling_runs_without_attempt",
      "SELECT id FROM runs r WHERE status = 'cancelling' AND NOT EXISTS "
      "(SELECT 1 FROM attempts a WHERE a.run_id = r.id AND a.open = 1) ORDER BY n"};
  return all(ask(find), read_run_id);
}

}  // namespace agentrouter::store::postgres
