// What there is in all, and the removal of runs.

#include <array>
#include <limits>

#include "store/sqlite/columns.h"
#include "store/sqlite/search_text.h"
#include "store/sqlite/transaction.h"

namespace agentrouter::store {

namespace {

// What of a run is named by its id, each with an index that begins with it.
constexpr std::array<std::string_view, 6> tables_by_id{
    "DELETE FROM actions WHERE n IN (SELECT n FROM actions WHERE run_id = ? LIMIT ?)",
    "DELETE FROM approvals WHERE n IN (SELECT n FROM approvals WHERE run_id = ? LIMIT ?)",
    "DELETE FROM standing_rules WHERE n IN (SELECT n FROM standing_rules WHERE run_id = ? LIMIT ?)",
    "DELETE FROM attempts WHERE n IN (SELECT n FROM attempts WHERE run_id = ? AND open = 0 LIMIT ?)",
    "DELETE FROM allowance_lots WHERE (run_id, number) IN "
    "(SELECT run_id, number FROM allowance_lots WHERE run_id = ? LIMIT ?)",
    "DELETE FROM run_spending WHERE run_id IN (SELECT run_id FROM run_spending WHERE run_id = ? LIMIT ?)"};

}  // namespace

std::int64_t Rows::number_from(std::string_view sql) {
  auto statement = connection_.statement(sql);
  return statement.step() ? statement.integer(0) : 0;
}

Totals Rows::totals() {
  Totals totals;
  totals.queued_runs = number_from("SELECT value FROM totals WHERE name = 'queued_runs'");
  totals.ended_runs = number_from("SELECT value FROM totals WHERE name = 'ended_runs'");
  totals.artifact_bytes = number_from("SELECT value FROM totals WHERE name = 'artifact_bytes'");
  const auto pages = number_from("PRAGMA page_count") - number_from("PRAGMA freelist_count");
  totals.database_bytes = pages * number_from("PRAGMA page_size");
  return totals;
}

// A share is there for as long as a run of it is queued or active.
bool Rows::has_active_runs() {
  return connection_.statement("SELECT 1 FROM shares LIMIT 1").step();
}

bool Rows::has_open_attempt(const model::RunId& run) {
  auto statement = connection_.statement("SELECT 1 FROM attempts WHERE run_id = ? AND open = 1 LIMIT 1");
  statement.bind(run.str());
  return statement.step();
}

std::vector<EndedRun> Rows::ended_runs(const EndedQuery& query) {
  auto statement = connection_.statement(
      "SELECT r.id, r.completed_at, r.n, c.reclaimed FROM runs r INDEXED BY runs_ended CROSS JOIN "
      "conversations c ON c.id = "
      "r.conversation_id WHERE status IN ('completed', 'failed', 'cancelled') AND instr(tags, '\"keep\":') = "
      "0 "
      "AND (r.completed_at, r.n) > (?, ?) ORDER BY r.completed_at, r.n LIMIT ?");
  const auto first = std::numeric_limits<std::int64_t>::min();
  statement.bind(query.after ? to_column(*query.after) : first).bind(query.after_number);
  statement.bind(std::int64_t{query.limit});
  return all(std::move(statement), [](const Statement& row) {
    return EndedRun{model::RunId(row.text(0)), time_at(row, 1), row.integer(2), row.integer(3) != 0};
  });
}

std::vector<DeletedRun> Rows::deleted_runs(int limit) {
  auto statement = connection_.statement(
      "SELECT id, conversation_id, turn_number, deleted_at FROM deleted_runs ORDER BY n LIMIT ?");
  statement.bind(std::int64_t{limit});
  return all(std::move(statement), [](const Statement& row) {
    return DeletedRun{model::RunId(row.text(0)), model::RunId(row.text(1)), static_cast<int>(row.integer(2)),
                      time_at(row, 3)};
  });
}

void SqliteTransaction::delete_run(const model::RunId& id, base::Time now) {
  const auto number = rows_.number_of(id);
  const auto run = this->run(id);
  if (!run) base::throw_failure(base::Code::not_found, "no run " + id.str(), "run_not_found");
  const auto answer = rows_.last_event_of_type(id, "agent.response");
  forget_texts(connection_, number, run->workspace_id, run->task, answer ? answer_text(answer->payload) : "");
  for (const auto& [name, value] : run->tags) {
    connection_
        .statement(
            "DELETE FROM run_tags WHERE workspace_id = ? AND name = ? AND value = ? AND queued_at = ? AND "
            "run = ?")
        .bind(run->workspace_id)
        .bind(name)
        .bind(value)
        .bind(to_column(run->queued_at))
        .bind(number)
        .run();
  }
  connection_.statement("DELETE FROM run_texts WHERE run = ?").bind(number).run();
  connection_.statement("DELETE FROM newest_events WHERE run = ?").bind(number).run();
  connection_.statement("DELETE FROM runs WHERE n = ?").bind(number).run();
  connection_
      .statement(
          "DELETE FROM webhook_deliveries WHERE run_id = ? AND run_id <> '' AND (state <> 'pending' "
          "OR webhook_id NOT IN (SELECT id FROM webhooks WHERE enabled = 1))")
      .bind(id.str())
      .run();
  connection_.statement("INSERT INTO deleted_runs VALUES (?, ?, ?, ?, ?)")
      .bind(number)
      .bind(id.str())
      .bind(run->conversation_id.str())
      .bind(std::int64_t{run->turn_number})
      .bind(to_column(now))
      .run();
  changes_.push_back({id, run->status});
}

void SqliteTransaction::delete_artifact(const model::ArtifactId& artifact) {
  connection_.statement("DELETE FROM artifacts WHERE id = ?").bind(artifact.str()).run();
}

int SqliteTransaction::remove_deleted(const model::RunId& run, int rows) {
  std::int64_t number = 0;
  {
    auto statement = connection_.statement("SELECT n FROM deleted_runs WHERE id = ?");
    statement.bind(run.str());
    if (!statement.step()) return 0;
    number = statement.integer(0);
  }
  connection_
      .statement(
          "DELETE FROM events WHERE key IN (SELECT key FROM events WHERE key > ? AND key <= ? LIMIT ?)")
      .bind(event_key(number, 0))
      .bind(event_key(number, 0xffffffff))
      .bind(std::int64_t{rows})
      .run();
  int left = rows - sqlite3_changes(connection_.handle());
  for (const auto sql : tables_by_id) {
    if (left <= 0) return rows;
    connection_.statement(sql).bind(run.str()).bind(std::int64_t{left}).run();
    left -= sqlite3_changes(connection_.handle());
  }
  if (left > 0 && rows_.artifacts(run).empty())
    connection_.statement("DELETE FROM deleted_runs WHERE n = ?").bind(number).run();
  return rows - left;
}

void SqliteTransaction::delete_conversation(const model::RunId& conversation) {
  connection_.statement("DELETE FROM conversations WHERE id = ?").bind(conversation.str()).run();
}

void SqliteTransaction::delete_delivery(std::string_view id) {
  connection_.statement("DELETE FROM webhook_deliveries WHERE id = ?").bind(id).run();
}

}  // namespace agentrouter::store
