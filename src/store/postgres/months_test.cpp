#include "store/postgres/months.h"

#include <gmock/gmock.h>

#include "store/postgres/database_test.h"
#include "store/postgres/reader.h"

namespace agentrouter::store::postgres {

namespace {

base::Time at(int year, unsigned month, unsigned day) {
  return base::Time(
      std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day))
          .time_since_epoch());
}

TEST(MonthOf, IsTheCalendarsInUtc) {
  EXPECT_EQ(month_of(at(2026, 11, 1)), 202611);
  EXPECT_EQ(month_of(at(2026, 11, 1) - std::chrono::milliseconds(1)), 202610);
  EXPECT_EQ(month_after(202611), 202612);
  EXPECT_EQ(month_after(202612), 202701);
  EXPECT_EQ(month_of(base::Time(std::chrono::milliseconds(-1))), 197001);
}

class PostgresMonths : public DatabaseTest {
 protected:
  void SetUp() override { migrate(session_); }
  void run_of(const char* name, base::Time time) {
    write([&](Transaction& tx) {
      auto run = testing::make_run(name);
      run.queued_at = time;
      tx.insert_run(run);
      tx.append(run.id, testing::make_draft("run.created"));
    });
  }
  std::string partitions() {
    return session_
        .query_text(
            "SELECT coalesce(string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text), "
            "'') "
            "FROM pg_inherits WHERE inhparent = 'events'::regclass")
        .front()
        .text(0);
  }
};

TEST_F(PostgresMonths, AreMadeWithTheFirstRunAndOneAhead) {
  run_of("a", at(2026, 11, 29));
  EXPECT_EQ(partitions(), "events_202611 events_202612");
  run_of("b", at(2026, 12, 1));
  EXPECT_EQ(partitions(), "events_202611 events_202612 events_202701");
  EXPECT_EQ(number("SELECT count(*) FROM events_202611"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM events_202612"), 1);
}

TEST_F(PostgresMonths, EventsOfARunStayTogetherHoweverLongItTakes) {
  run_of("a", at(2026, 11, 30));
  write([](Transaction& tx) {
    auto late = testing::make_draft("agent.message");
    late.created_at = at(2027, 3, 1);
    tx.append(testing::run_id("a"), late);
  });
  EXPECT_EQ(number("SELECT count(*) FROM events_202611"), 2);
  EXPECT_EQ(PgReader(session_).events(testing::run_id("a"), 0, 10).size(), 2u);
}

TEST_F(PostgresMonths, WhatHasNoPartitionIsRefused) {
  EXPECT_THROW(session_.query_text(
                   "INSERT INTO events VALUES (1, 1, 203001, 't', 's', 'v', NULL, '{}', NULL, NULL, 0, 1)"),
               Refused);
}

TEST_F(PostgresMonths, AMonthThatWasUndoneIsMadeAgain) {
  session_.begin(Session::Access::write);
  transaction_.begun();
  session_.savepoint();
  transaction_.insert_run(testing::make_run("undone"), "");
  session_.rollback_to();
  transaction_.undone();
  transaction_.insert_run(testing::make_run("kept"), "");
  transaction_.append(testing::run_id("kept"), testing::make_draft("run.created"));
  transaction_.finish();
  session_.rollback();
  run_of("a", testing::test_time());
  EXPECT_EQ(number("SELECT count(*) FROM events"), 1);
}

TEST_F(PostgresMonths, PastOnesAreDroppedWhenNothingIsLeft) {
  run_of("old", at(2026, 1, 5));
  run_of("kept", at(2026, 3, 5));
  EXPECT_EQ(drop_empty_months(session_, at(2026, 11, 1)), 2) << "the months ahead of both";
  write([](Transaction& tx) { tx.delete_run(testing::run_id("old"), at(2026, 10, 1)); });
  EXPECT_EQ(drop_empty_months(session_, at(2026, 11, 1)), 0) << "its events are not removed yet";
  write([](Transaction& tx) { (void)tx.remove_deleted(testing::run_id("old"), 100); });
  EXPECT_EQ(drop_empty_months(session_, at(2026, 11, 1)), 1);
  EXPECT_EQ(partitions(), "events_202603");
}

TEST_F(PostgresMonths, OneThatIsReadIsDroppedAnotherTime) {
  run_of("a", at(2026, 1, 5));
  Session reading(options());
  reading.connect();
  reading.begin(Session::Access::read);
  (void)reading.query_text("SELECT * FROM events_202602");
  EXPECT_EQ(drop_empty_months(session_, at(2026, 11, 1)), 0);
  reading.commit();
  EXPECT_EQ(drop_empty_months(session_, at(2026, 11, 1)), 1);
}

}  // namespace

}  // namespace agentrouter::store::postgres
