#include "store/postgres/move_history.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "store/postgres/commit_log.h"
#include "store/postgres/months.h"
#include "store/postgres/reader.h"
#include "store/postgres/schema.h"
#include "store/postgres/sqlite_source.h"
#include "store/postgres/words.h"

namespace agentrouter::store::postgres {

namespace {

constexpr std::size_t rows_at_once = 500;
constexpr std::size_t bytes_at_once = 1 << 20;
constexpr int batches_at_once = 8;  // on their way

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "\"" : ", \"") + name + "\"";
  return text;
}

// Tables of runs, which say to which month their events belong.
bool has_month(const std::string& table) {
  return table == "runs" || table == "deleted_runs";
}

// Rows on their way into one table, many in each statement.
class TableWriter {
 public:
  TableWriter(Session& to, const std::string& table, const std::vector<std::string>& columns)
      : to_(to),
        insert_("INSERT INTO " + table + " (" + joined(columns) + ") SELECT " + joined(columns) +
                " FROM json_populate_recordset(NULL::" + table + ", $1::json)") {}

  void add(const json::object& row) {
    batch_ += (batch_.empty() ? "[" : ",") + base::to_text(row);
    ++rows_;
    if (++in_batch_ == rows_at_once || batch_.size() >= bytes_at_once) send();
  }
  std::int64_t finish() {
    if (in_batch_ > 0) send();
    to_.sync();
    return rows_;
  }
  [[nodiscard]] std::int64_t rows() const { return rows_; }

 private:
  void send() {
    to_.send_text(insert_, Parameters::of(batch_ + "]"));
    batch_.clear();
    in_batch_ = 0;
    if (++sent_ % batches_at_once == 0) to_.sync();
  }

  Session& to_;
  const std::string insert_;
  std::string batch_;
  std::size_t in_batch_ = 0;
  std::int64_t rows_ = 0;
  int sent_ = 0;
};

class Mover {
 public:
  Mover(Connection& from, Session& to, const MoveOptions& options)
      : from_(from), to_(to), options_(options) {}

  std::vector<MovedTable> move() {
    migrate(to_);
    refuse_if_in_use();
    to_.begin(Session::Access::write);
    take_turn(to_);
    refuse_if_not_empty();
    switch_triggers("DISABLE");
    auto tables = source_tables(from_);
    // Runs first: what they tell of their months is where their events go.
    std::sort(tables.begin(), tables.end(), [](const std::string& left, const std::string& right) {
      return std::pair(!has_month(left), left) < std::pair(!has_month(right), right);
    });
    for (const auto& table : tables)
      moved_.push_back({table, table == "events" ? move_events() : move_table(table)});
    move_words();
    for (const auto& table : tables) continue_numbers(table);
    switch_triggers("ENABLE");
    compare_counts();
    PgReader reader(to_);
    options_.check(reader);
    to_.commit();
    to_.query_text("ANALYZE");
    return std::move(moved_);
  }

 private:
  // Those that look on would not hear of what arrives.
  void refuse_if_in_use() {
    const auto others = to_.query_text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        "pg_backend_pid() "
        "AND application_name LIKE 'agentrouter %'");
    if (others.front().integer(0) == 0) return;
    base::throw_failure(base::Code::conflict,
                        "cannot move the history: servers are connected to the database; stop them first",
                        "store_in_use");
  }
  void refuse_if_not_empty() {
    for (const auto* table :
         {"runs", "deleted_runs", "conversations", "audit", "webhooks", "idempotency_keys"}) {
      if (to_.query_text("SELECT 1 FROM " + std::string(table) + " LIMIT 1").empty()) continue;
      base::throw_failure(base::Code::conflict,
                          "cannot move the history: the database is not empty (" + std::string(table) +
                              "); give a new one, or drop what an earlier installation has left",
                          "database_not_empty");
    }
  }
  // Counts come with their tables, and attempts were fenced when they were made.
  void switch_triggers(const std::string& how) {
    const auto tables = to_.query_text(
        "SELECT DISTINCT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT "
        "t.tgisinternal "
        "AND c.relnamespace = current_schema()::regnamespace");
    for (const auto row : tables) to_.query_text("ALTER TABLE " + row.text(0) + " " + how + " TRIGGER USER");
  }

  std::set<std::string, std::less<>> target_columns(const std::string& table) {
    std::set<std::string, std::less<>> names;
    const auto rows = to_.query_text(
        "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() "
        "AND table_name = $1",
        Parameters::of(table));
    for (const auto row : rows) names.insert(row.text(0));
    return names;
  }
  // What a table has on both sides. An event's key is its run and its sequence in one.
  std::vector<std::string> common_columns(const std::string& table) {
    auto columns = source_columns(from_, table);
    if (table == "events") std::erase(columns, "key");
    const auto known = target_columns(table);
    for (const auto& column : columns) {
      if (!known.contains(column))
        base::throw_failure(base::Code::internal, "PostgreSQL has no column " + table + "." + column);
    }
    return columns;
  }

  std::int64_t move_table(const std::string& table) {
    const auto columns = common_columns(table);
    auto written = columns;
    if (has_month(table)) written.emplace_back("month");
    to_.query_text("DELETE FROM " + table);  // what the schema's steps have put there
    SourceRows rows(from_, "SELECT " + joined(columns) + " FROM " + table);
    TableWriter writer(to_, table, written);
    while (rows.next()) {
      json::object row;
      for (std::size_t i = 0; i < columns.size(); ++i) row[columns[i]] = rows.value(static_cast<int>(i));
      if (has_month(table)) row["month"] = note_month(row);
      writer.add(row);
      tell(table, writer.rows());
    }
    return writer.finish();
  }
  int note_month(const json::object& row) {
    const auto* time = row.if_contains("queued_at");
    if (time == nullptr) time = &row.at("deleted_at");
    const int month = month_of(base::Time(std::chrono::milliseconds(time->as_int64())));
    months_of_runs_.insert_or_assign(row.at("n").as_int64(), month);
    return month;
  }

  std::int64_t move_events() {
    Months months;
    for (const auto& [run, month] : months_of_runs_) months.ensure(to_, month);
    const auto columns = common_columns("events");
    SourceRows rows(from_, "SELECT key, " + joined(columns) + " FROM events ORDER BY key");
    auto written = columns;
    for (const auto* name : {"run", "sequence", "month"}) written.emplace_back(name);
    TableWriter writer(to_, "events", written);
    while (rows.next()) {
      json::object row;
      const auto run = rows.integer(0) >> 32;
      const auto month = months_of_runs_.find(run);
      if (month == months_of_runs_.end())
        base::throw_failure(base::Code::corrupt,
                            "cannot move the history: there are events of run number " + std::to_string(run) +
                                ", which is not there: see agentrouter fsck",
                            "store_corrupt");
      row["run"] = run;
      row["sequence"] = rows.integer(0) & 0xffffffff;
      row["month"] = month->second;
      for (std::size_t i = 0; i < columns.size(); ++i) row[columns[i]] = rows.value(static_cast<int>(i) + 1);
      writer.add(row);
      tell("events", writer.rows());
    }
    return writer.finish();
  }

  // SQLite's full text has no copy of the texts: it is made anew from task and last answer.
  void move_words() {
    SourceRows rows(from_,
                    "SELECT t.run, t.task, (SELECT e.payload FROM newest_events w JOIN events e ON e.key = "
                    "(t.run << 32) | "
                    "w.sequence WHERE w.run = t.run AND w.type = 'agent.response') FROM run_texts t");
    TableWriter writer(to_, "run_words", {"word", "run"});
    while (rows.next()) {
      const auto answer = rows.text(2);
      for (const auto& word : words_of(rows.text(1) + " " + (answer.empty() ? "" : answer_text(answer))))
        writer.add({{"word", word}, {"run", rows.integer(0)}});
      tell("run_words", writer.rows());
    }
    moved_.push_back({"run_words", writer.finish()});
  }

  // A number is not given again, not even that of what was deleted since.
  void continue_numbers(const std::string& table) {
    const auto columns = source_columns(from_, table);
    if (table == "deleted_runs" || std::find(columns.begin(), columns.end(), "n") == columns.end()) return;
    SourceRows last(from_, "SELECT max(coalesce((SELECT max(n) FROM " + table +
                               "), 0), coalesce((SELECT seq FROM sqlite_sequence WHERE name = '" + table +
                               "'), 0))");
    if (!last.next() || last.integer(0) == 0) return;
    to_.query_text("SELECT setval(pg_get_serial_sequence($1, 'n'), $2)",
                   Parameters::of(table, last.integer(0)));
  }

  void compare_counts() {
    for (const auto& table : moved_) {
      const auto arrived = to_.query_text("SELECT count(*) FROM " + table.name).front().integer(0);
      if (arrived == table.rows) continue;
      base::throw_failure(base::Code::internal, "cannot move the history: of " + std::to_string(table.rows) +
                                                    " rows of " + table.name + " " + std::to_string(arrived) +
                                                    " have arrived");
    }
  }

  void tell(const std::string& table, std::int64_t rows) {
    if (rows % 100'000 == 0) options_.progress({table, rows});
  }

  Connection& from_;
  Session& to_;
  const MoveOptions& options_;
  std::unordered_map<std::int64_t, int> months_of_runs_;
  std::vector<MovedTable> moved_;
};

}  // namespace

std::vector<MovedTable> move_history(Connection& from, Session& to, const MoveOptions& options) {
  try {
    return Mover(from, to, options).move();
  } catch (...) {
    to.rollback();
    throw;
  }
}

}  // namespace agentrouter::store::postgres
