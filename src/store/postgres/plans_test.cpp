// No query of the store looks at all of what there is: each statement that a session has prepared is held
// against the plan that PostgreSQL has for it among many rows.

#include <gmock/gmock.h>

#include <set>
#include <sstream>

#include "store/everything_test.h"
#include "store/postgres/database_test.h"
#include "store/postgres/reader.h"

namespace agentrouter::store::postgres {

namespace {

using ::testing::IsEmpty;

// With few rows whatever has been run; of commits what happened in the last minutes.
const std::set<std::string, std::less<>> small_tables{
    "webhooks",        "shares",         "deleted_runs", "uploads",    "totals",
    "commit_position", "budget_periods", "commits",      "workspaces", "api_keys",
    "data_keys",       "provider_keys",  "notes",        "lanes"};
// Of what is open or due only.
const std::set<std::string, std::less<>> small_indexes{
    "attempts_open",   "attempts_open_by_age", "conversations_due", "shares_next",
    "runs_cancelling", "approvals_due",        "runs_waiting"};
// Few rows by what they are looked up by, or by what they are (lanes that wait): what they are sorted by has
// no index.
const std::set<std::string, std::less<>> sorts_few{"trees_in_use", "list_conversation", "lanes",
                                                   "list_conversation_end"};

// One node of a plan and what it says of itself.
struct PlanNode {
  std::string title;
  std::string details;
  [[nodiscard]] bool has(std::string_view text) const { return details.find(text) != details.npos; }
};

std::vector<PlanNode> read_plan(const Rows& rows) {
  std::vector<PlanNode> nodes;
  for (const auto row : rows) {
    const auto line = row.text(0);
    const auto arrow = line.find("->  ");
    const auto text = line.substr(arrow == line.npos ? line.find_first_not_of(' ') : arrow + 4);
    if (arrow != line.npos || nodes.empty()) {
      nodes.push_back({text, {}});
    } else {
      nodes.back().details += text + "\n";
    }
  }
  return nodes;
}

// "Index Scan Backward using runs_newest on runs r  (cost=...": what follows the word.
std::string word_after(const std::string& title, std::string_view word) {
  const auto at = title.find(word);
  if (at == title.npos) return {};
  const auto begin = at + word.size();
  return title.substr(begin, title.find_first_of(" (", begin) - begin);
}

class PostgresPlans : public DatabaseTest {
 protected:
  void SetUp() override {
    migrate(session_);
    fill();
  }
  // 5,000 runs that have ended, each with events and records, and a few that have not.
  void fill() {
    write([](Transaction& tx) {
      for (int i = 0; i < 3; ++i) {
        auto run = testing::make_run("month " + std::to_string(i));
        run.queued_at = testing::test_time(std::int64_t{i} * 70 * 24 * 3'600'000);
        tx.insert_run(run);
      }
    });
    session_.execute(R"sql(
INSERT INTO runs (n, id, month, status, runtime_kind, runtime_mode, approval_mode, conversation_id, queued_at,
  completed_at, priority, attempts, turn_number, turn_id, tags, share)
SELECT n, 'run_' || n, 202605, CASE n % 100 WHEN 0 THEN 'queued' WHEN 1 THEN 'running' ELSE 'completed' END,
  CASE n % 2 WHEN 0 THEN 'codex' ELSE 'claude_code' END, 'default', 'auto', 'run_' || n, 1780000000000 + n,
  1780000000000 + n, 0, 1, 1, '', '', 'share' || n % 5 FROM generate_series(100, 5100) n;
INSERT INTO run_texts SELECT n, 'mend the bridge', '{}' FROM runs WHERE n >= 100;
INSERT INTO run_words SELECT word, n FROM runs, unnest(ARRAY['mend', 'the', 'bridge' || n]) word WHERE n >= 100;
INSERT INTO run_tags SELECT 'env', 'prod', queued_at, n FROM runs WHERE n >= 100;
INSERT INTO conversations SELECT id, NULL, 'closed', queued_at, queued_at, queued_at, 1, 0, 0 FROM runs WHERE n >= 100;
INSERT INTO events SELECT n, i, 202605, 'agent.message', 'codex', 'public', NULL, '{}', NULL, NULL, 0, 1
  FROM runs, generate_series(1, 4) i WHERE n >= 100;
INSERT INTO attempts SELECT n, 'attempt_' || n, id, 1, 'w', 1, 1, n, 0, (n % 100 = 1)::int, '', '', 1, 1, '', 1
  FROM runs WHERE n >= 100;
INSERT INTO artifacts SELECT n, 'artifact_' || n, id, 'k', 'r', 'c', 1, 's', '{}', 1 FROM runs WHERE n >= 100;
INSERT INTO approvals SELECT n, id, 'a', '', '', '', '', CASE n % 3 WHEN 0 THEN 'pending' ELSE 'approved' END, '', 1, 1,
  n, '', 1 FROM runs WHERE n >= 100;
INSERT INTO actions SELECT n, id, 'a', '', '', '', '', 1, 1, '', '', 1, 1, '', '', 1, 1, 'completed', '', NULL, '', '',
  '', '', NULL FROM runs WHERE n >= 100;
INSERT INTO standing_rules SELECT n, 'rule_' || n, id, 1, '{}', '', '', 1, NULL, '', 0 FROM runs WHERE n >= 100;
INSERT INTO checkpoints SELECT id, 1, id, 'key' || n, 1, 's', '', 1, 0 FROM runs WHERE n >= 100;
INSERT INTO idempotency_keys SELECT 'key' || n, '', id, n, 0 FROM runs WHERE n >= 100;
INSERT INTO audit SELECT 'filled', n, 1, id, 1, '', '', '', '', '', '', '', '', '' FROM runs WHERE n >= 100;
INSERT INTO webhook_deliveries SELECT n, 'msg_' || n, 'w' || n % 3, 't', id, '{}', n, 'delivered', 1, 1, 1, 200, '', 1
  FROM runs WHERE n >= 100;
INSERT INTO run_spending SELECT id, '', 0, 0, '' FROM runs WHERE n >= 100;
INSERT INTO allowance_lots SELECT id, 1, '', 0, 0, 0, 0 FROM runs WHERE n >= 100;
ANALYZE;
)sql");
  }
  // Of a run that is there.
  static void read_events(Reader& reader) {
    const auto run = testing::run_id("month 0");
    (void)reader.events(run, 0, 10);
    (void)reader.event(run, 1);
    (void)reader.last_event_of_type(run, "run.created");
  }
  // What the plan of a prepared statement walks through in full, or sorts.
  std::vector<std::string> walks(const std::string& name, int parameters) {
    std::string sql = "EXPLAIN EXECUTE " + name;
    for (int i = 0; i < parameters; ++i) sql += i == 0 ? "(NULL" : ", NULL";
    if (parameters > 0) sql += ")";
    const auto nodes = read_plan(session_.query_text(sql));
    const bool limited = std::any_of(nodes.begin(), nodes.end(),
                                     [](const PlanNode& node) { return node.title.starts_with("Limit"); });
    std::vector<std::string> found;
    for (const auto& node : nodes) {
      if (!is_fine(name, node, limited)) found.push_back(name + ": " + node.title + " " + node.details);
    }
    return found;
  }
  static bool is_fine(const std::string& name, const PlanNode& node, bool limited) {
    if (node.title.starts_with("Sort") || node.title.starts_with("Incremental Sort"))
      return sorts_few.contains(name);
    if (node.title.starts_with("Hash Join") || node.title.starts_with("Merge Join")) return false;
    const auto table = word_after(node.title, " on ");
    if (small_tables.contains(table)) return true;
    if (node.title.starts_with("Seq Scan")) return false;
    if (node.title.find("Index ") == node.title.npos || node.has("Index Cond")) return true;
    const auto index = word_after(node.title, " using ");
    return small_indexes.contains(index) || (limited && !node.has("Filter"));
  }
};

TEST_F(PostgresPlans, NothingWalksThroughWhatHasEnded) {
  write([](Transaction& tx) {
    write_everything(tx);
    read_everything(tx);
  });
  session_.begin(Session::Access::read);
  PgReader reader(session_);
  read_everything(reader);
  read_events(reader);
  {
    const Scoped scoped(reader, "team");
    read_everything(reader);
  }
  const auto prepared = session_.query_text(
      "SELECT name, coalesce(array_length(parameter_types, 1), 0), statement FROM pg_prepared_statements "
      "WHERE statement ~* '^(select|insert|update|delete)' AND "
      "statement !~* 'set_config'");
  EXPECT_GT(prepared.size(), 100u);
  std::vector<std::string> found;
  int pruned = 0;
  for (const auto row : prepared) {
    for (auto& walk : walks(row.text(0), static_cast<int>(row.integer(1)))) found.push_back(std::move(walk));
    if (row.view(2).find("FROM events") != std::string_view::npos) ++pruned;
  }
  EXPECT_THAT(found, IsEmpty());
  EXPECT_EQ(pruned, 4) << "that read events";
}

TEST_F(PostgresPlans, EventsOfOtherMonthsAreNotLookedAt) {
  write([](Transaction& tx) { write_everything(tx); });
  session_.begin(Session::Access::read);
  PgReader reader(session_);
  read_everything(reader);
  read_events(reader);
  for (const auto* name : {"events(NULL, NULL, NULL, NULL)", "event(NULL, NULL, NULL)",
                           "last_event_of_type(NULL, NULL, NULL)"}) {
    std::string plan;
    for (const auto row : session_.query_text("EXPLAIN EXECUTE " + std::string(name)))
      plan += row.text(0) + "\n";
    EXPECT_NE(plan.find("Subplans Removed"), plan.npos) << plan;
  }
}

TEST_F(PostgresPlans, AWalkThroughAllRunsWouldBeSeen) {
  session_.begin(Session::Access::read);
  for (const auto& [name, sql] : std::vector<std::pair<std::string, std::string>>{
           {"one", "SELECT id FROM runs WHERE attempts = 7"},
           {"two",
            "SELECT n FROM runs WHERE status = 'queued' AND share = 'x' AND lane = 'y' ORDER BY attempts"},
           {"three", "SELECT id FROM runs WHERE share = 'x' ORDER BY n LIMIT 1"}}) {
    session_.query_text("PREPARE " + name + " AS " + sql);
    EXPECT_EQ(walks(name, 0).size(), 1u) << sql;
  }
}

}  // namespace

}  // namespace agentrouter::store::postgres
