#include <gmock/gmock.h>

#include "store/postgres/database_test.h"
#include "store/postgres/reader.h"

namespace agentrouter::store::postgres {

namespace {

// Many runs: each fourth one is active, each second is Claude Code's, all have a tag.
class ManyRunsInPostgres : public DatabaseTest {
 protected:
  void SetUp() override { migrate(session_); }
  void insert(int count) {
    // Without triggers: what they count is not looked at here.
    session_.execute(
        "SET session_replication_role = replica; INSERT INTO runs (n, id, month, status, runtime_kind, "
        "runtime_mode, approval_mode, conversation_id, "
        "queued_at, priority, attempts, turn_number, turn_id, tags, share) SELECT n, 'run_' || n, 202611, "
        "CASE n % 4 WHEN 0 THEN 'running' ELSE 'completed' END, CASE n % 2 WHEN 0 THEN 'claude_code' ELSE "
        "'codex' END, "
        "'default', 'auto', 'run_' || n, 1000 + n, 0, 0, 1, '', '', '' FROM generate_series(1, " +
        std::to_string(count) +
        ") n ON CONFLICT DO NOTHING; "
        "INSERT INTO run_texts SELECT n, 'fix everything', '{}' FROM runs ON CONFLICT DO NOTHING; "
        "INSERT INTO run_tags SELECT 'env', 'prod', queued_at, n FROM runs ON CONFLICT DO NOTHING; "
        "INSERT INTO run_words SELECT word, n FROM runs, unnest(ARRAY['fix', 'everything']) word "
        "ON CONFLICT DO NOTHING; SET session_replication_role = origin");
  }
  // Rows that the server looks at for one page.
  std::int64_t cost(const RunQuery& query) {
    const std::string looked_at =
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables";
    session_.begin(Session::Access::read);
    PgReader reader(session_);
    const auto before = number(looked_at);
    const auto page = reader.runs(query);
    const auto after = number(looked_at);
    session_.commit();
    EXPECT_EQ(page.items.size(), static_cast<std::size_t>(query.limit));
    return after - before;
  }
};

TEST_F(ManyRunsInPostgres, APageCostsTheSameHoweverManyRunsThereAre) {
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
  };
  insert(400);
  std::vector<std::int64_t> few;
  for (const auto& query : queries) few.push_back(cost(query));
  insert(8000);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    EXPECT_LE(cost(queries[i]), few[i] + few[i] / 2) << "query " << i;
    EXPECT_LT(few[i], 200) << "query " << i;
    EXPECT_GT(few[i], 19) << "query " << i;
  }
}

TEST_F(ManyRunsInPostgres, ACallLooksAtABoundedNumberOfRunsAndTheNextGoesOnBehindThem) {
  insert(10'050);
  PgReader reader(session_);
  RunQuery query{.status = "cancelled", .tags = {{"env", "prod"}}};
  query.created_after = base::Time(std::chrono::milliseconds(0));
  query.runtime = model::RuntimeKind::claude_code;
  const auto first = reader.runs(query);
  EXPECT_TRUE(first.items.empty());
  ASSERT_TRUE(first.next);
  EXPECT_EQ(first.next->number, 51);
  query.after = first.next;
  const auto second = reader.runs(query);
  EXPECT_TRUE(second.items.empty());
  EXPECT_FALSE(second.next);
}

TEST_F(ManyRunsInPostgres, AWordThatAllHaveIsNoReasonToLookAtAll) {
  insert(10'050);
  PgReader reader(session_);
  const auto page = reader.runs({.status = "cancelled", .text = "everything"});
  EXPECT_TRUE(page.items.empty());
  ASSERT_TRUE(page.next);
  EXPECT_EQ(page.next->number, 51);
}

}  // namespace

}  // namespace agentrouter::store::postgres
