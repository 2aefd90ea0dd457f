#include "store/postgres/schema.h"

#include <algorithm>

#include "base/log.h"

namespace agentrouter::store::postgres {

namespace {

// "AgRt" and 1: one node at a time takes steps.
constexpr const char* lock_steps = "SELECT pg_advisory_xact_lock(1097290356, 1)";
constexpr const char* make_counter =
    "CREATE TABLE IF NOT EXISTS agentrouter_schema (step integer PRIMARY KEY, oldest integer NOT NULL, "
    "taken_at timestamptz NOT NULL DEFAULT now())";
constexpr int most_tries = 30;

bool exists(Session& session, const char* table) {
  return session.query_text("SELECT to_regclass($1) IS NOT NULL", Parameters::of(table)).front().boolean(0);
}

int steps_taken(Session& session) {
  if (!exists(session, "agentrouter_schema")) return 0;
  return static_cast<int>(
      session.query_text("SELECT coalesce(max(step), 0) FROM agentrouter_schema").front().integer(0));
}

// One transaction; the work of another node that was first is not done again.
void take_once(Session& session, const Step& step, int number) {
  session.begin(Session::Access::write);
  session.send_text("SET LOCAL lock_timeout = '2s'");
  session.send_text("SET LOCAL statement_timeout = 0");
  session.send_text("SET LOCAL client_min_messages = warning");
  session.send_text(lock_steps);
  session.send_text(make_counter);
  if (steps_taken(session) < number) {
    for (const auto* script : step.sql) session.execute(script);
    session.send_text("INSERT INTO agentrouter_schema (step, oldest) VALUES ($1, $2)",
                      Parameters::of(number, step.oldest));
  }
  session.commit();
}

bool is_lock_timeout(const Refused& refused) {
  return refused.sqlstate() == "55P03" || refused.sqlstate() == "40P01";
}

void drop_broken_indexes(Session& session) {
  const auto broken = session.query_text(
      "SELECT c.oid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
      "WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relnamespace = current_schema()::regnamespace");
  for (const auto row : broken) session.query_text("DROP INDEX IF EXISTS " + row.text(0));
}

void take(Session& session, const Step& step, int number) {
  if (!step.beside.empty()) drop_broken_indexes(session);
  for (const auto* statement : step.beside) session.execute(statement);
  for (int tried = 1;; ++tried) {
    try {
      take_once(session, step, number);
      base::log(base::LogLevel::info, "the store has taken a step of its schema", {{"step", number}});
      return;
    } catch (const Refused& refused) {
      session.rollback();
      if (tried == most_tries || !is_lock_timeout(refused)) throw;
    } catch (...) {
      session.rollback();
      throw;
    }
  }
}

}  // namespace

int schema_version() {
  return static_cast<int>(steps().size());
}

int check_schema(Session& session, int known) {
  const int taken = steps_taken(session);
  if (taken == 0) {
    if (exists(session, "runs") || exists(session, "events")) {
      base::throw_failure(
          base::Code::corrupt,
          "cannot open the store: the database has tables of another program (runs, events); give "
          "AgentRouter a database or a schema of its own",
          "store_corrupt");
    }
    return 0;
  }
  const auto oldest = session.query_text("SELECT max(oldest) FROM agentrouter_schema").front().integer(0);
  if (oldest > known) {
    base::throw_failure(base::Code::unsupported,
                        "cannot open the store: its schema " + std::to_string(taken) +
                            " needs a program that knows " + std::to_string(oldest) +
                            " steps; this one knows " + std::to_string(known) +
                            ". Start the newer version, or restore a backup from before it",
                        "schema_newer");
  }
  return taken;
}

void migrate(Session& session, const std::vector<Step>& list, int version) {
  const int last = std::min(version, static_cast<int>(list.size()));
  for (int number = check_schema(session, last) + 1; number <= last; ++number)
    take(session, list[static_cast<std::size_t>(number) - 1], number);
}

}  // namespace agentrouter::store::postgres
