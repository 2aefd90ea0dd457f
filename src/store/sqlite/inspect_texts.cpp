#include "store/sqlite/inspect_texts.h"

#include <set>
#include <tuple>

#include "store/sqlite/search_text.h"

namespace agentrouter::store {
namespace {

constexpr std::size_t texts_told_at_most = 100;

// One place of a word: what it is, in which run, in its workspace's name, its task or its answer, where in
// that.
using Word = std::tuple<std::string, std::int64_t, int, std::int64_t>;

// The words of an index in their order.
class Words {
 public:
  Words(Connection& connection, std::string_view query) : statement_(connection.statement(query)) { next(); }

  [[nodiscard]] const std::optional<Word>& word() const { return word_; }
  void next() {
    word_.reset();
    if (statement_.step())
      word_.emplace(statement_.text(0), statement_.integer(1), place_of(statement_.text(2)),
                    statement_.integer(3));
  }

 private:
  // In the order of the table's columns.
  static int place_of(std::string_view column) {
    if (column == "workspace") return 0;
    return column == "task" ? 1 : 2;
  }

  Statement statement_;
  std::optional<Word> word_;
};

// Each run with its task, the payload of its last answer, and whose it is.
constexpr std::string_view texts_of_runs =
    "SELECT r.n, t.task, (SELECT payload FROM events e WHERE e.key BETWEEN r.n << 32 AND (r.n << 32) + "
    "4294967295 AND "
    "e.type = 'agent.response' ORDER BY e.key DESC LIMIT 1), r.workspace_id FROM runs r JOIN run_texts t ON "
    "t.run = r.n";

void index_all(Connection& from, Connection& to) {
  auto texts = from.statement(texts_of_runs);
  while (texts.step()) {
    const auto task = texts.text(1);
    const auto answer = answer_text(texts.text(2));
    const auto workspace = workspace_word(texts.text(3));
    to.statement("INSERT INTO run_search (rowid, workspace, task, answer) VALUES (?, ?, ?, ?)")
        .bind(texts.integer(0))
        .bind(workspace)
        .bind(task)
        .bind(answer)
        .run();
  }
}

// The same kind of table, empty.
Connection make_scratch(Connection& database) {
  Connection scratch("", "");
  scratch.execute("PRAGMA journal_mode = OFF");
  auto statement = database.statement("SELECT sql FROM sqlite_schema WHERE name = 'run_search'");
  if (!statement.step())
    base::throw_failure(base::Code::corrupt, "the database has no full text", "store_corrupt");
  scratch.execute(statement.text(0).c_str());
  scratch.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, run_search, instance)");
  return scratch;
}

// Runs that one of both has words of which the other one does not have.
std::set<std::int64_t> differing(Connection& database, Connection& scratch) {
  constexpr std::string_view all = "SELECT term, doc, col, offset FROM temp.words";
  std::set<std::int64_t> runs;
  Words there(database, all), wanted(scratch, all);
  while ((there.word() || wanted.word()) && runs.size() < texts_told_at_most) {
    const bool too_many = there.word() && (!wanted.word() || *there.word() < *wanted.word());
    const bool missing = wanted.word() && (!there.word() || *wanted.word() < *there.word());
    if (too_many || missing) runs.insert(std::get<1>(too_many ? *there.word() : *wanted.word()));
    if (!missing) there.next();
    if (!too_many) wanted.next();
  }
  return runs;
}

std::string name_of(Connection& database, std::int64_t number) {
  auto statement = database.statement("SELECT id FROM runs WHERE n = ?");
  statement.bind(number);
  return statement.step() ? statement.text(0) : "number " + std::to_string(number);
}

}  // namespace

void inspect_texts(Connection& database, const std::function<void(Finding)>& tell) {
  constexpr const char* fix = "agentrouter fsck --repair makes it anew";
  // Only a table of this connection's own.
  database.execute(
      "PRAGMA query_only = OFF; CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, run_search, instance); "
      "PRAGMA query_only = ON; BEGIN");
  try {
    Connection scratch = make_scratch(database);
    scratch.execute("BEGIN");
    index_all(database, scratch);
    scratch.execute("COMMIT");
    for (const auto run : differing(database, scratch))
      tell({"search_wrong", "a search does not find a run by what its task and its answer say",
            "run " + name_of(database, run), fix});
  } catch (const base::Failure& failure) {
    if (failure.error().code != base::Code::corrupt) throw;
    tell({"search_wrong", "the full text of runs cannot be read: " + failure.error().message, "database",
          fix});
  }
  database.execute("COMMIT; PRAGMA query_only = OFF; DROP TABLE temp.words; PRAGMA query_only = ON");
}

void rebuild_texts(Connection& database) {
  database.execute(
      "PRAGMA query_only = OFF; BEGIN IMMEDIATE; INSERT INTO run_search (run_search) VALUES ('delete-all')");
  index_all(database, database);
  database.execute("COMMIT");
}

}  // namespace agentrouter::store
