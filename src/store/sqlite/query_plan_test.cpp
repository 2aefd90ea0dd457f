// No query of the store looks at all of what there is: each statement that it makes is held against the plan that
// SQLite has for it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "store/sqlite/columns.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/transaction.h"
#include "testing/builders.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

using ::testing::IsEmpty;

// Tables with few rows whatever has been run, and those of what is not over yet.
const std::set<std::string, std::less<>> small_tables{"webhooks", "shares", "deleted_runs", "uploads", "totals"};
// Indexes of what is open or due only.
const std::set<std::string, std::less<>> small_indexes{"attempts_open", "conversations_due", "shares_next"};

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
    EXPECT_EQ(sqlite3_prepare_v2(connection_->handle(), ("EXPLAIN QUERY PLAN " + sql).c_str(), -1, &statement, nullptr),
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
    for (const auto* few : {"conversation_id = ?", "status = 'cancelling'"}) bounded = bounded || sql.find(few) != sql.npos;
    if (sorts && !bounded) found.push_back("sorts in " + sql);
    return found;
  }

  testing::TempDir folder_;
  std::optional<Connection> connection_;
  std::set<std::string> seen_;
};

void read_everything(Reader& reader) {
  const auto run = testing::run_id("r");
  const model::ActionId action("a");
  const auto now = testing::test_time();
  (void)reader.run(run);
  for (const auto& query : std::vector<RunQuery>{{},
                                                 {.status = "active"},
                                                 {.status = "queued"},
                                                 {.runtime = model::RuntimeKind::codex},
                                                 {.tags = {{"a", "b"}}},
                                                 {.conversation = run},
                                                 {.text = "word"}})
    (void)reader.runs(query);
  (void)reader.conversation(run);
  (void)reader.turns(run);
  (void)reader.latest_turn(run);
  (void)reader.turn(run, 1);
  (void)reader.latest_checkpoint(run, 2);
  (void)reader.is_shared({.run_id = run, .conversation_id = run, .key = "k"});
  (void)reader.conversations_to_reclaim(now, 10);
  (void)reader.next_conversation_expiry();
  (void)reader.events(run, 0, 10);
  (void)reader.event(run, 1);
  (void)reader.last_event_of_type(run, "agent.message");
  (void)reader.artifacts(run);
  (void)reader.approval(run, action);
  (void)reader.undelivered_approvals(run);
  (void)reader.pending_approvals(run);
  (void)reader.pending_approvals(PendingQuery{});
  (void)reader.pending_approvals(PendingQuery{.run = run});
  (void)reader.due_approvals(now, 10);
  (void)reader.next_approval_expiry();
  (void)reader.action(run, action);
  (void)reader.actions(run, 10);
  (void)reader.open_actions(run);
  (void)reader.attempt(model::AttemptId("t"));
  (void)reader.latest_attempt(run);
  (void)reader.open_attempts();
  (void)reader.has_open_attempt(run);
  (void)reader.idempotency_key("k");
  (void)reader.next_idempotency_expiry();
  (void)reader.upload("u");
  (void)reader.next_upload_expiry();
  (void)reader.spending(run);
  (void)reader.budget_period("s", "p");
  (void)reader.budget_periods("p");
  (void)reader.allowance(run);
  (void)reader.trees_in_use();
  (void)reader.queued_runs(5);
  (void)reader.queued_of_share("s");
  (void)reader.totals();
  (void)reader.ended_runs({.after = now});
  (void)reader.deleted_runs(5);
  (void)reader.cancelling_runs_without_attempt();
  (void)reader.audit("default", 0, 10);
  (void)reader.audit_head("default");
  (void)reader.standing_rules(run);
  (void)reader.webhooks();
  (void)reader.webhook("w");
  (void)reader.delivery("d");
  (void)reader.deliveries({.webhook = "w"});
  (void)reader.next_deliveries("w", 5);
  (void)reader.pending_deliveries("w");
}

void write_everything(Transaction& tx) {
  const auto now = testing::test_time();
  for (const auto* name : {"r", "s"}) {
    auto run = testing::make_run(name);
    run.tags = {{"a", "b"}};
    tx.insert_run(run);
    run.status = model::RunStatus::starting;
    tx.update_run(run);
    tx.append(run.id, testing::make_draft("agent.response", R"({"text":"word"})"));
    run.status = model::RunStatus::completed;
    run.completed_at = now;
    tx.update_run(run);
  }
  const auto run = testing::run_id("r");
  auto artifact = model::named_artifact(run, "stdout_log");
  tx.put_artifact(artifact);
  tx.put_checkpoint({run, run, 1, "k", 1, "sum", "t", now});
  Attempt attempt;
  attempt.id = model::AttemptId("t");
  attempt.run_id = run;
  attempt.slot = tx.free_slot();
  tx.insert_attempt(attempt);
  attempt.open = false;
  tx.update_attempt(attempt);
  tx.put_idempotency_key({"k", "b", run, now});
  (void)tx.purge_idempotency_keys(now, 10);
  tx.purge_uploads(now);
  (void)tx.purge_deliveries(now, 10);
  tx.append_audit({.number = 1, .time = now, .run_id = run, .type = "run.created"});
  tx.put_webhook({.id = "w"});
  tx.delete_checkpoint(run, 1);
  tx.delete_run(run, now);
  tx.delete_artifact(artifact.id);
  (void)tx.remove_deleted(run, 100);
  tx.delete_conversation(run);
  tx.delete_delivery("d");
  tx.delete_allowance(run);
}

TEST_F(QueryPlans, NothingWalksThroughWhatHasEnded) {
  SqliteTransaction tx(*connection_);
  write_everything(tx);
  read_everything(tx);
  sqlite3_trace_v2(connection_->handle(), 0, nullptr, nullptr);
  ASSERT_GT(seen_.size(), 70u);
  std::vector<std::string> found;
  for (const auto& sql : seen_) {
    // Comments are what triggers do, whose statements are seen, too; what the full text does of its own is its own.
    if (sql.starts_with("--") || sql.starts_with("PRAGMA") || sql.find("'run_search") != sql.npos) continue;
    for (auto& walk : walks(sql)) found.push_back(std::move(walk));
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST_F(QueryPlans, AWalkThroughAllRunsWouldBeSeen) {
  sqlite3_trace_v2(connection_->handle(), 0, nullptr, nullptr);
  EXPECT_EQ(walks("SELECT id FROM runs WHERE attempts = 7").size(), 1u);
  EXPECT_EQ(walks("SELECT id FROM attempts WHERE open = 1 ORDER BY n").size(), 1u);
  EXPECT_EQ(walks("SELECT n FROM runs WHERE status = 'queued' ORDER BY attempts").size(), 1u);
}

}  // namespace

}  // namespace agentrouter::store
