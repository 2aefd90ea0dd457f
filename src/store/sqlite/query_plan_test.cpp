// No query of the store looks at all of what there is: each statement that it makes is held against the plan
// that SQLite has for it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "store/everything_test.h"
#include "store/sqlite/columns.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/transaction.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

using ::testing::IsEmpty;

// Tables with few rows whatever has been run, and those of what is not over yet.
const std::set<std::string, std::less<>> small_tables{
    "webhooks",   "shares",   "deleted_runs", "uploads",       "totals",
    "workspaces", "api_keys", "data_keys",    "provider_keys", "lanes"};
// Indexes of what is open or due only.
const std::set<std::string, std::less<>> small_indexes{"attempts_open", "conversations_due", "shares_next",
                                                       "runs_waiting"};

class QueryPlans : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(folder_ / "a.db").close();
    connection_.emplace(folder_ / "a.db", "");
    migrate(*connection_);
    sqlite3_trace_v2(
        connection_->handle(), SQLITE_TRACE_STMT,
        [](unsigned, void* self, void* statement, void*) {
          const char* sql = sqlite3_sql(static_cast<sqlite3_stmt*>(statement));
          if (sql != nullptr) static_cast<QueryPlans*>(self)->seen_.insert(sql);
          return 0;
        },
        this);
  }
  // What the plan of `sql` walks through in full, or sorts.
  std::vector<std::string> walks(const std::string& sql) {
    std::vector<std::string> found;
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(connection_->handle(), ("EXPLAIN QUERY PLAN " + sql).c_str(), -1, &statement,
                                 nullptr),
              SQLITE_OK)
        << sql;
    bool sorts = false;
    bool bounded = false;
    while (sqlite3_step(statement) == SQLITE_ROW) {
      const std::string step(reinterpret_cast<const char*>(sqlite3_column_text(statement, 3)));
      sorts = sorts || step.starts_with("USE TEMP B-TREE");
      const auto name = step.substr(step.rfind(' ') + 1);
      if (small_indexes.contains(name)) bounded = true;
      if (!step.starts_with("SCAN ")) continue;
      const auto table = step.substr(5, step.find(' ', 5) - 5);
      if (small_indexes.contains(name) || small_tables.contains(table)) continue;
      if (step.find("VIRTUAL TABLE") != step.npos || step == "SCAN CONSTANT ROW") continue;
      found.push_back(step + " in " + sql);
    }
    sqlite3_finalize(statement);
    // Few rows, by the name of what they are looked up by.
    for (const auto* few : {"conversation_id = ?", "status = 'cancelling'"})
      bounded = bounded || sql.find(few) != sql.npos;
    if (sorts && !bounded) found.push_back("sorts in " + sql);
    return found;
  }

  testing::TempDir folder_;
  std::optional<Connection> connection_;
  std::set<std::string> seen_;
};

TEST_F(QueryPlans, NothingWalksThroughWhatHasEnded) {
  SqliteTransaction tx(*connection_);
  write_everything(tx);
  read_everything(tx);
  {
    const Scoped scoped(tx, "team");
    read_everything(tx);
  }
  sqlite3_trace_v2(connection_->handle(), 0, nullptr, nullptr);
  ASSERT_GT(seen_.size(), 70u);
  std::vector<std::string> found;
  for (const auto& sql : seen_) {
    // Comments are what triggers do, whose statements are seen, too; what the full text does of its own is
    // its own.
    if (sql.starts_with("--") || sql.starts_with("PRAGMA") || sql.find("'run_search") != sql.npos) continue;
    for (auto& walk : walks(sql)) found.push_back(std::move(walk));
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST_F(QueryPlans, AWalkThroughAllRunsWouldBeSeen) {
  sqlite3_trace_v2(connection_->handle(), 0, nullptr, nullptr);
  EXPECT_EQ(walks("SELECT id FROM runs WHERE attempts = 7").size(), 1u);
  EXPECT_EQ(walks("SELECT id FROM attempts WHERE open = 1 ORDER BY n").size(), 1u);
  EXPECT_EQ(walks("SELECT n FROM runs WHERE workspace_id = 'default' AND status = 'failed' ORDER BY attempts")
                .size(),
            1u);
}

}  // namespace

}  // namespace agentrouter::store
