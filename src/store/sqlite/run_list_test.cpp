#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "store/sqlite/schema.h"
#include "store/sqlite/search_text.h"
#include "store/sqlite/transaction.h"
#include "testing/builders.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

// Many runs: each fourth one is active, each second is Claude Code's, all have a tag.
class ManyRuns : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(folder_ / "a.db").close();
    connection_.emplace(folder_ / "a.db", "");
    migrate(*connection_);
  }
  // What there is so far becomes another team's.
  void give_away() {
    connection_->execute(
        "UPDATE runs SET workspace_id = 'team'; DROP TABLE run_search; "
        "CREATE VIRTUAL TABLE run_search USING fts5(workspace, task, answer, content=''); DELETE FROM "
        "run_tags;"
        "INSERT INTO run_tags SELECT workspace_id, 'env', 'prod', queued_at, n FROM runs;"
        "INSERT INTO run_search (rowid, workspace, task, answer) "
        "SELECT n, 'w' || lower(hex(workspace_id)), 'fix everything', '' FROM runs;");
  }
  void insert(int count) {
    connection_->execute("BEGIN");
    const auto sql =
        "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < " + std::to_string(count) +
        ") INSERT OR IGNORE INTO runs (n, id, status, runtime_kind, runtime_mode, approval_mode, "
        "conversation_id, queued_at, priority, attempts, turn_id) SELECT n, 'run_' || n, "
        "CASE n % 4 WHEN 0 THEN 'running' ELSE 'completed' END, "
        "CASE n % 2 WHEN 0 THEN 'claude_code' ELSE 'codex' END, 'default', 'auto', 'run_' || n, 1000 + n, "
        "0, 0, '' FROM i";
    connection_->execute(sql.c_str());
    connection_->execute("INSERT OR IGNORE INTO run_texts SELECT n, 'fix everything', '{}' FROM runs");
    connection_->execute(
        "INSERT OR IGNORE INTO run_tags SELECT workspace_id, 'env', 'prod', queued_at, n FROM runs");
    connection_->execute(
        "INSERT INTO run_search (rowid, workspace, task, answer) SELECT run, 'w' || "
        "lower(hex(workspace_id)), task, '' "
        "FROM run_texts JOIN runs ON n = run WHERE run > (SELECT count(*) FROM run_search_docsize)");
    connection_->execute("COMMIT");
  }
  // What the database's machine does for one page, in its instructions.
  long cost(const RunQuery& query) {
    Rows rows(*connection_);
    RunPage page;
    const auto steps = counted([&] { page = rows.runs("", query); });
    EXPECT_EQ(page.items.size(), static_cast<std::size_t>(query.limit));
    return steps;
  }
  template <class Work>
  long counted(const Work& work) {
    steps_ = 0;
    sqlite3_progress_handler(
        connection_->handle(), 1,
        [](void* steps) {
          ++*static_cast<long*>(steps);
          return 0;
        },
        &steps_);
    work();
    sqlite3_progress_handler(connection_->handle(), 0, nullptr, nullptr);
    return steps_;
  }

  testing::TempDir folder_;
  std::optional<Connection> connection_;
  long steps_ = 0;
};

TEST_F(ManyRuns, APageCostsTheSameHoweverManyRunsThereAre) {
  const RunCursor deep{1000 + 200, 200};
  const auto at = [](std::int64_t time) { return base::Time(std::chrono::milliseconds(time)); };
  const std::vector<RunQuery> queries{
      {.limit = 20},
      {.limit = 20, .after = deep},
      {.status = "active", .limit = 20, .after = deep},
      {.status = "completed", .limit = 20, .after = deep},
      {.limit = 20, .after = deep, .runtime = model::RuntimeKind::codex},
      {.limit = 20, .after = deep, .tags = {{"env", "prod"}}},
      {.limit = 20, .created_after = at(1050), .created_before = at(1150)},
      {.limit = 20, .after = deep, .text = "everything"},
      {.limit = 1, .conversation = model::RunId("run_7")},
  };
  insert(400);
  std::vector<long> few;
  for (const auto& query : queries) few.push_back(cost(query));
  insert(8000);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    EXPECT_LT(cost(queries[i]), few[i] + few[i] / 2) << "query " << i;
    EXPECT_LT(few[i], 20'000) << "query " << i;
  }
}

TEST_F(ManyRuns, ThoseOfAnotherWorkspaceCostAPageNothing) {
  insert(8000);
  give_away();
  std::vector<RunQuery> queries{{.limit = 0},
                                {.status = "active", .limit = 0},
                                {.status = "completed", .limit = 0},
                                {.limit = 0, .runtime = model::RuntimeKind::codex},
                                {.limit = 0, .tags = {{"env", "prod"}}},
                                {.limit = 0, .conversation = model::RunId("run_7")}};
  for (std::size_t i = 0; i < queries.size(); ++i) {
    auto query = queries[i];
    const auto beside = cost(query);
    query.workspace = "nobody";
    if (query.conversation) query.conversation = model::RunId("run_none");
    EXPECT_EQ(beside, cost(query)) << "query " << i;
  }
}

TEST_F(ManyRuns, WhatAnotherWorkspaceHasIsLookedForExactlyAsWhatNobodyHas) {
  insert(100);
  give_away();
  connection_->execute("INSERT INTO uploads VALUES ('upload_1', 's', 1, 't', 1, 1, 9, 'team')");
  connection_->execute(
      "INSERT INTO webhooks VALUES (1, 'wh_1', 'team', 'u', '', '[]', 's', '', NULL, 1, '', NULL, 1, 1)");
  Rows rows(*connection_);
  const auto steps = [&](auto look) {
    look();  // prepared from now on
    return counted(look);
  };
  const std::string ours = "default";
  for (const auto* id : {"run_50", "run_none"}) EXPECT_FALSE(rows.run(ours, model::RunId(id)));
  EXPECT_EQ(steps([&] { (void)rows.run(ours, model::RunId("run_50")); }),
            steps([&] { (void)rows.run(ours, model::RunId("run_none")); }));
  EXPECT_EQ(steps([&] { (void)rows.upload(ours, "upload_1"); }),
            steps([&] { (void)rows.upload(ours, "upload_2"); }));
  EXPECT_EQ(steps([&] { (void)rows.webhook(ours, "wh_1"); }),
            steps([&] { (void)rows.webhook(ours, "wh_2"); }));
  const PendingQuery theirs{.run = model::RunId("run_50")};
  const PendingQuery none{.run = model::RunId("run_none")};
  EXPECT_EQ(steps([&] { (void)rows.pending_approvals(ours, theirs); }),
            steps([&] { (void)rows.pending_approvals(ours, none); }));
}

TEST_F(ManyRuns, ACallLooksAtABoundedNumberOfRunsAndTheNextGoesOnBehindThem) {
  insert(10'050);
  Rows rows(*connection_);
  RunQuery query{.status = "completed", .tags = {{"env", "prod"}}};
  query.created_after = base::Time(std::chrono::milliseconds(0));
  query.runtime = model::RuntimeKind::claude_code;
  query.status = "cancelled";
  const auto first = rows.runs("", query);
  EXPECT_TRUE(first.items.empty());
  ASSERT_TRUE(first.next);
  EXPECT_EQ(first.next->number, 51);
  query.after = first.next;
  const auto second = rows.runs("", query);
  EXPECT_TRUE(second.items.empty());
  EXPECT_FALSE(second.next);
}

TEST(SearchExpression, QuotesEachWordAndKeepsNothingElse) {
  EXPECT_EQ(search_expression("fix the_bug"), R"("fix" "the" "bug")");
  EXPECT_EQ(search_expression("a\"b' OR (c*)"), R"("a" "b" "OR" "c")");
  EXPECT_EQ(search_expression("  -- "), "");
  EXPECT_EQ(search_expression("Größe"), "\"Größe\"");
}

}  // namespace

}  // namespace agentrouter::store
