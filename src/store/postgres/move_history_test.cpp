#include "store/postgres/move_history.h"

#include <gmock/gmock.h>

#include "store/everything_test.h"
#include "store/postgres/database_test.h"
#include "store/postgres/postgres_store.h"
#include "store/postgres/reader.h"
#include "store/sqlite/snapshot.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"

namespace agentrouter::store::postgres {

namespace {

using ::testing::ElementsAre;

class MoveHistory : public DatabaseTest {
 protected:
  void SetUp() override {
    auto sqlite = base::value_or_throw(open_sqlite_store(path()));
    const auto write = [&](const auto& work) { testing::run_task(io_, sqlite->write(work)); };
    write([](Transaction& tx) { write_everything(tx); });
    write([this](Transaction& tx) { fill(tx); });
    write([](Transaction& tx) { tx.delete_run(testing::run_id("goes"), testing::test_time(9)); });
    sqlite->close();
  }
  std::filesystem::path path() { return folder_ / "agentrouter.db"; }

  void fill(Transaction& tx) {
    for (const auto* name : {"ended", "goes", "queued one", "queued two", "active"}) {
      auto run = testing::make_run(name, ++inserted_);
      run.task = "mend the " + std::string(name) +
                 " br\xc3\xbc"
                 "cke";
      run.tags = {{"team", name}};
      run.workspace = {
          .kind = model::WorkspaceKind::git, .git = {.url = "https://example.test/a"}, .tree = "t1"};
      tx.insert_run(run, std::string(name).starts_with("queued") ? "share one" : "share two");
      tx.append(run.id, testing::make_draft("run.created"));
      tx.append(run.id, testing::make_draft("agent.response", R"({"text":"over the river"})"));
    }
    model::EventDraft odd = testing::make_draft("agent.message");
    odd.provider_event_type = "nul \0 and \x01 and \xff";
    odd.artifact_ref = model::ArtifactRef{model::ArtifactId("artifact_1"), "runs/r/x"};
    tx.append(testing::run_id("active"), odd);
    move_on(tx, "active", model::RunStatus::starting);
    for (const auto* name : {"ended", "goes"}) move_on(tx, name, model::RunStatus::completed);
    for (const auto number : {2, 3}) tx.append_audit({.number = number, .time = testing::test_time(number)});
    auto log = model::named_artifact(testing::run_id("ended"), "stdout_log");
    log.size_bytes = 77;
    tx.put_artifact(log);
    Attempt attempt;
    attempt.id = model::AttemptId("attempt_active");
    attempt.run_id = testing::run_id("active");
    attempt.token = 7;
    tx.insert_attempt(attempt);
    tx.put_webhook({.id = "wh_1", .url = "https://example.test", .events = {"*"}});
    tx.put_delivery({.id = "msg_1", .webhook_id = "wh_1", .body = "{}"});
  }
  static void move_on(Transaction& tx, const char* name, model::RunStatus status) {
    auto run = *tx.run(testing::run_id(name));
    run.status = status;
    if (model::is_terminal(status)) run.completed_at = testing::test_time(5);
    tx.update_run(run);
  }
  std::vector<MovedTable> move(MoveOptions options = {}) {
    auto from = base::value_or_throw(open_as_guest(path()));
    return move_history(from, session_, options);
  }
  // What a reader says of everything that the test has written, as text.
  static std::string told(Reader& reader) {
    std::string all;
    for (const auto& run : reader.runs({.limit = 100}).items) {
      all += run.to_wire() + run.task + base::to_text(run.workspace.to_json()) + "\n";
      for (const auto& event : reader.events(run.id, 0, 100))
        all += event.to_wire() + event.provider_event_type + "\n";
      for (const auto& artifact : reader.artifacts(run.id)) all += artifact.to_wire() + "\n";
      const auto attempt = reader.latest_attempt(run.id);
      all += attempt ? attempt->id.str() + std::to_string(attempt->token) : "no attempt";
    }
    for (const auto* text : {"river", "BRUCKE", "mend active", "word", "goes"}) {
      for (const auto& run : reader.runs({.limit = 100, .text = text}).items) all += run.id.str();
      all += "\n";
    }
    for (const auto& run : reader.runs({.limit = 100, .tags = {{"team", "ended"}}}).items)
      all += run.id.str() + "\n";
    for (const auto& entry : reader.audit("default", 0, 100)) all += base::to_text(entry.to_json()) + "\n";
    for (const auto& run : reader.queued_runs(10)) all += run.str() + "\n";
    for (const auto& run : reader.ended_runs({})) all += run.id.str() + std::to_string(run.number) + "\n";
    for (const auto& run : reader.deleted_runs(10)) all += run.id.str() + "\n";
    for (const auto& hook : reader.webhooks()) all += hook.id + hook.url + hook.events.at(0) + "\n";
    const auto totals = reader.totals();
    for (const auto count : {totals.queued_runs, totals.ended_runs, totals.artifact_bytes})
      all += std::to_string(count) + " ";
    return all;
  }

  testing::TempDir folder_;
  asio::io_context io_;
  int inserted_ = 0;
};

TEST_F(MoveHistory, EverythingIsAnsweredAsBefore) {
  std::string before;
  {
    auto from = base::value_or_throw(open_as_guest(path()));
    before = told(*reader_of(from));
  }
  const auto moved = move();
  EXPECT_THAT(before, ::testing::HasSubstr("brücke"));
  PgReader reader(session_);
  EXPECT_EQ(told(reader), before);
  const auto events =
      std::find_if(moved.begin(), moved.end(), [](const auto& table) { return table.name == "events"; });
  EXPECT_EQ(events->rows, 13);
}

TEST_F(MoveHistory, TheStoreGoesOnWithTheNextNumbers) {
  (void)move();
  const auto last =
      number("SELECT max(n) FROM (SELECT n FROM runs UNION SELECT n FROM deleted_runs) AS numbers");
  const auto store =
      base::value_or_throw(open_postgres_store({.url = server_.url(database_), .connections = 1}));
  testing::run_task(io_, store->write([](Transaction& tx) {
    tx.insert_run(testing::make_run("new", 100), "share one");
    tx.append(testing::run_id("active"), testing::make_draft("agent.message"));
    tx.append_audit({.number = 4, .time = testing::test_time(4)});
    (void)tx.remove_deleted(testing::run_id("goes"), 100);
    EXPECT_EQ(tx.free_slot(), 1);
  }));
  EXPECT_EQ(number("SELECT n FROM runs WHERE id = '" + testing::run_id("new").str() + "'"), last + 1);
  EXPECT_EQ(number("SELECT last_event_seq FROM runs WHERE id = '" + testing::run_id("active").str() + "'"),
            4);
  EXPECT_EQ(number("SELECT value FROM totals WHERE name = 'queued_runs'"), 3);
  EXPECT_EQ(number("SELECT count(*) FROM deleted_runs"), 0);
}

TEST_F(MoveHistory, ADatabaseThatIsNotEmptyIsLeftAsItIs) {
  migrate(session_);
  write([](Transaction& tx) { tx.insert_run(testing::make_run("theirs")); });
  EXPECT_EQ(reason_of([&] { (void)move(); }), "database_not_empty");
  EXPECT_EQ(number("SELECT count(*) FROM runs"), 1);
}

TEST_F(MoveHistory, WhatIsRefusedAtTheEndHasMovedNothing) {
  EXPECT_EQ(reason_of([&] {
              (void)move({.check = [](Reader& reader) {
                EXPECT_TRUE(reader.run(testing::run_id("ended")));
                base::throw_failure(base::Code::corrupt, "no", "chain_broken");
              }});
            }),
            "chain_broken");
  EXPECT_EQ(number("SELECT count(*) FROM runs"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'D'"), 0);
  (void)move();
  EXPECT_EQ(number("SELECT count(*) FROM runs WHERE status = 'queued'"), 2);
}

TEST_F(MoveHistory, ServersThatAreConnectedAreNotPassedOver) {
  const auto store =
      base::value_or_throw(open_postgres_store({.url = server_.url(database_), .connections = 1}));
  testing::run_task(io_, store->read([](Reader& reader) { (void)reader.totals(); }));
  EXPECT_EQ(reason_of([&] { (void)move(); }), "store_in_use");
}

TEST_F(MoveHistory, EventsOfNoRunAreSaidAndNotDropped) {
  {
    Connection connection(path(), "");
    connection.execute(
        "INSERT INTO events VALUES ((999 << 32) | 1, 't', 'worker', 'public', NULL, '{}', NULL, NULL, 0, 1)");
  }
  EXPECT_EQ(reason_of([&] { (void)move(); }), "store_corrupt");
}

}  // namespace

}  // namespace agentrouter::store::postgres
