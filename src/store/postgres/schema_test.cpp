#include "store/postgres/schema.h"

#include <gmock/gmock.h>

#include "base/threads.h"
#include "store/postgres/database_test.h"
#include "store/postgres/reader.h"

namespace agentrouter::store::postgres {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PostgresSchema : public DatabaseTest {
 protected:
  std::string message_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const base::Failure& failure) {
      return failure.error().reason + ": " + failure.error().message;
    }
    return "nothing thrown";
  }
};

TEST_F(PostgresSchema, AnEmptyDatabaseTakesEveryStepOnce) {
  EXPECT_EQ(check_schema(session_), 0);
  migrate(session_);
  migrate(session_);
  EXPECT_EQ(check_schema(session_), schema_version());
  EXPECT_EQ(number("SELECT count(*) FROM agentrouter_schema"), schema_version());
}

TEST_F(PostgresSchema, NodesThatStartAtOnceTakeEachStepOnce) {
  base::Threads threads(4);
  std::atomic<int> failed = 0;
  for (int i = 0; i < 4; ++i) {
    threads.post([this, &failed] {
      try {
        Session session(options());
        session.connect();
        migrate(session);
      } catch (const base::Failure& failure) {
        ADD_FAILURE() << failure.error().message;
        ++failed;
      }
    });
  }
  threads.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(number("SELECT count(*) FROM agentrouter_schema"), schema_version());
}

// What nodes of step 1 have written, as they have written it.
constexpr const char* rows_of_step_1 = R"sql(
INSERT INTO runs (n, id, month, status, runtime_kind, runtime_mode, approval_mode, conversation_id, queued_at,
  completed_at, priority, attempts, turn_number, turn_id, tags, share)
SELECT n, 'run_' || n, 202611, status, 'codex', 'default', 'auto', 'run_' || n, 1000 + n, 2000, 0, 1, 1, '', tags, share
FROM (VALUES (1, 'queued', '', 'a'), (2, 'queued', '', 'b'), (3, 'running', '', 'a'), (4, 'completed', '', 'a'),
  (5, 'failed', '{"keep":"yes"}', 'c')) AS made (n, status, tags, share);
INSERT INTO run_texts SELECT n, 'mend the bridge', '{}' FROM runs;
INSERT INTO artifacts (id, run_id, kind, r2_key, content_type, size_bytes, sha256, metadata, created_at)
  VALUES ('a1', 'run_4', 'k', 'r', 'c', 70, 's', '{}', 1), ('a2', 'run_4', 'k', 'r', 'c', 7, 's', '{}', 1);
SELECT setval(pg_get_serial_sequence('runs', 'n'), 5);
)sql";

TEST_F(PostgresSchema, Step2CountsWhatIsThere) {
  migrate(session_, steps(), 1);
  session_.execute(rows_of_step_1);
  migrate(session_);
  PgReader reader(session_);
  const auto totals = reader.totals();
  EXPECT_EQ(totals.queued_runs, 2);
  EXPECT_EQ(totals.ended_runs, 1);
  EXPECT_EQ(totals.artifact_bytes, 77);
  EXPECT_EQ(reader.queued_of_share("a"), 1);
  EXPECT_THAT(reader.queued_runs(5), ElementsAre(model::RunId("run_2"), model::RunId("run_1")))
      << "a has a run that is active, b has none";
  session_.execute("UPDATE runs SET status = 'completed' WHERE n = 1; DELETE FROM runs WHERE n = 4");
  EXPECT_EQ(reader.totals().queued_runs, 1);
  EXPECT_EQ(reader.totals().ended_runs, 1);
}

TEST_F(PostgresSchema, ADatabaseThatNeedsANewerProgramIsLeftAlone) {
  migrate(session_);
  session_.execute("INSERT INTO agentrouter_schema (step, oldest) VALUES (1000, 1000)");
  const auto said = message_of([&] { migrate(session_); });
  EXPECT_THAT(said, HasSubstr("schema_newer"));
  EXPECT_THAT(said, HasSubstr("1000"));
}

TEST_F(PostgresSchema, StepsThatOnlyAddAreNoHindranceForTheVersionBefore) {
  auto list = steps();
  list.push_back({.sql = {"ALTER TABLE runs ADD COLUMN colour text NOT NULL DEFAULT 'green'"}});
  migrate(session_, list, static_cast<int>(list.size()));
  EXPECT_EQ(check_schema(session_), schema_version() + 1);
  migrate(session_);
  write([](Transaction& tx) { tx.insert_run(testing::make_run("r")); });
  EXPECT_TRUE(PgReader(session_).run(testing::run_id("r")));
}

TEST_F(PostgresSchema, TablesOfAnotherProgramAreNotTouched) {
  session_.execute("CREATE TABLE runs (miles bigint)");
  EXPECT_THAT(message_of([&] { migrate(session_); }), HasSubstr("store_corrupt"));
  EXPECT_EQ(number("SELECT count(*) FROM pg_class WHERE relname LIKE 'agentrouter%'"), 0);
}

TEST_F(PostgresSchema, AStepThatFailsLeavesNothing) {
  auto list = steps();
  list.push_back({.sql = {"CREATE TABLE half (a bigint)", "SELECT no_such_thing"}});
  EXPECT_THROW(migrate(session_, list, static_cast<int>(list.size())), Refused);
  EXPECT_EQ(check_schema(session_), schema_version());
  EXPECT_EQ(number("SELECT count(*) FROM pg_class WHERE relname = 'half'"), 0);
}

TEST_F(PostgresSchema, AStepWaitsForWhoReadsAndIsTakenThen) {
  migrate(session_);
  auto list = steps();
  list.push_back({.sql = {"ALTER TABLE runs ADD COLUMN colour text"}});
  Session reading(options());
  reading.connect();
  reading.begin(Session::Access::read);
  (void)reading.query_text("SELECT count(*) FROM runs");
  base::Threads threads(1);
  threads.post([&] {
    Session other(options());
    other.connect();
    migrate(other, list, static_cast<int>(list.size()));
  });
  while (number("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'runs'::regclass") == 0) {
  }
  reading.commit();
  threads.join();
  EXPECT_EQ(check_schema(session_), schema_version() + 1);
}

TEST_F(PostgresSchema, AnIndexIsBuiltBesideTheWritersAndABrokenOneAgain) {
  migrate(session_);
  session_.execute(rows_of_step_1);
  EXPECT_THROW(session_.execute("CREATE UNIQUE INDEX CONCURRENTLY runs_by_turn ON runs (turn_id)"), Refused);
  auto list = steps();
  list.push_back(
      {.sql = {}, .beside = {"CREATE INDEX CONCURRENTLY IF NOT EXISTS runs_by_turn ON runs (turn_id)"}});
  migrate(session_, list, static_cast<int>(list.size()));
  EXPECT_EQ(number("SELECT count(*) FROM pg_index WHERE indexrelid = 'runs_by_turn'::regclass AND indisvalid "
                   "AND NOT indisunique"),
            1);
}

}  // namespace

}  // namespace agentrouter::store::postgres
