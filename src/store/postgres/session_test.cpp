#include "store/postgres/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/postgres/failure.h"
#include "testing/postgres_server.h"

namespace agentrouter::store::postgres {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const Statement add_one{"test_add_one", "SELECT $1::bigint + 1"};
const Statement divide{"test_divide", "SELECT 1 / $1::bigint"};
const Statement put{"test_put", "INSERT INTO things (name) VALUES ($1)"};
const Statement count_all{"test_count_all", "SELECT count(*) FROM things"};
const Statement echo{"test_echo",
                     "SELECT $1::text, $2::bytea, $3::text[], $4::bigint[], $5::boolean, $6::text"};

// With and without prepared statements.
class Sessions : public ::testing::TestWithParam<bool> {
 protected:
  Sessions() {
    session_.connect();
    session_.execute("CREATE TABLE things (name text PRIMARY KEY); CREATE TABLE others (name text)");
  }
  SessionOptions options() {
    return {.url = server_.url(database_), .application = "test", .prepared = GetParam()};
  }
  std::int64_t things() { return session_.query(count_all).front().integer(0); }
  template <class Call>
  static std::string state_of(Call call) {
    try {
      call();
    } catch (const Refused& refused) {
      return refused.sqlstate();
    }
    return "not refused";
  }

  testing::PostgresServer& server_ = testing::PostgresServer::shared();
  std::string database_ = server_.make_database();
  Session session_{options()};
};

INSTANTIATE_TEST_SUITE_P(Prepared, Sessions, ::testing::Bool());

TEST_P(Sessions, WhatIsGivenComesBack) {
  const std::string bytes("\0\x01\xff binary", 10);
  const std::vector<std::string> texts{"plain", "with \"quotes\", commas and \\", "", "NULL", "{}"};
  const std::vector<std::int64_t> numbers{-1, 0, INT64_MAX};
  const auto rows =
      session_.query(echo, "ünïcode 'quoted'", Bytes{bytes}, texts, numbers, true, std::nullopt);
  ASSERT_EQ(rows.size(), 1u);
  const auto row = rows.front();
  EXPECT_EQ(row.text(0), "ünïcode 'quoted'");
  EXPECT_EQ(row.bytes(1), bytes);
  EXPECT_EQ(row.texts(2), texts);
  EXPECT_EQ(row.integers(3), numbers);
  EXPECT_TRUE(row.boolean(4));
  EXPECT_TRUE(row.is_null(5));
  EXPECT_EQ(row.optional_text(5), std::nullopt);
}

TEST_P(Sessions, EmptyListsComeBackEmpty) {
  const auto rows = session_.query(echo, "", Bytes{""}, std::vector<std::string>{},
                                   std::vector<std::int64_t>{}, false, "x");
  EXPECT_THAT(rows.front().texts(2), ElementsAre());
  EXPECT_THAT(rows.front().integers(3), ElementsAre());
  EXPECT_FALSE(rows.front().boolean(4));
}

TEST_P(Sessions, WhatWasSentHappensInItsOrderBeforeWhatIsAsked) {
  session_.begin(Session::Access::write);
  for (const auto* name : {"a", "b", "c"}) session_.send(put, name);
  EXPECT_EQ(things(), 3);
  session_.commit();
  EXPECT_EQ(things(), 3);
}

TEST_P(Sessions, WhatASentStatementIsRefusedForComesToLightNextAndUndoesTheSavepointOnly) {
  session_.begin(Session::Access::write);
  session_.send(put, "a");
  session_.savepoint();
  session_.send(put, "b");
  session_.send(put, "a");
  session_.send(put, "c");
  EXPECT_EQ(state_of([&] { session_.sync(); }), "23505");
  session_.rollback_to();
  session_.release();
  session_.send(put, "d");
  session_.commit();
  EXPECT_EQ(things(), 2);
}

TEST_P(Sessions, AStatementWorksAfterItsPreparationWasCutOff) {
  session_.begin(Session::Access::write);
  session_.savepoint();
  session_.send(divide, 0);
  session_.send(add_one, 1);
  EXPECT_EQ(state_of([&] { session_.sync(); }), "22012");
  session_.rollback_to();
  EXPECT_EQ(session_.query(add_one, 1).front().integer(0), 2);
  session_.rollback();
}

TEST_P(Sessions, ACommitThatWasRefusedIsKnownNotToHaveHappened) {
  session_.begin(Session::Access::write);
  session_.send(put, "a");
  session_.send(put, "a");
  EXPECT_EQ(state_of([&] { session_.commit(); }), "23505");
  EXPECT_FALSE(session_.outcome_unknown());
  session_.rollback();
  EXPECT_EQ(things(), 0);
}

TEST_P(Sessions, AReadingTransactionSeesOneStateAndWritesNothing) {
  Session other(options());
  other.connect();
  session_.begin(Session::Access::read);
  EXPECT_EQ(things(), 0);
  (void)other.query(put, "a");
  EXPECT_EQ(things(), 0);
  EXPECT_EQ(state_of([&] { (void)session_.query(put, "b"); }), "25006");
}

TEST_P(Sessions, TextWithANulIsRefusedBeforeItIsSent) {
  try {
    (void)session_.query(put, std::string_view("a\0b", 3));
    FAIL();
  } catch (const base::Failure& failure) {
    EXPECT_EQ(failure.error().code, base::Code::invalid);
    EXPECT_EQ(failure.error().reason, "text_not_storable");
  }
  EXPECT_EQ(state_of([&] { (void)session_.query(put, "\xff"); }), "22021");
  EXPECT_EQ(things(), 0);
}

TEST_P(Sessions, AServerThatDoesNotAnswerIsGivenUp) {
  auto hurried = options();
  hurried.statement_timeout = std::chrono::milliseconds(100);
  Session session(hurried);
  session.connect();
  session.begin(Session::Access::write);
  EXPECT_EQ(state_of([&] { (void)session.query_text("SELECT pg_sleep(30)"); }), "57014");
  session.rollback();
  EXPECT_TRUE(session.connected());
}

TEST_P(Sessions, MuchThatIsSentAndMuchThatIsAnsweredDoNotWaitForEachOther) {
  const std::string large(100'000, 'x');
  session_.begin(Session::Access::read);
  for (int i = 0; i < 200; ++i) session_.send_text("SELECT $1::text || $1::text", Parameters::of(large));
  session_.sync();
  session_.commit();
}

TEST_P(Sessions, OthersAreNotified) {
  Session other(options());
  other.connect();
  (void)session_.query_text("LISTEN here");
  (void)other.query_text("SELECT pg_notify('here', '42')");
  const auto pipe = base::value_or_throw(base::make_pipe());
  const auto notices = session_.wait_notices(base::SteadyClock::now() + std::chrono::seconds(60), pipe.first);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].text, "42");
}

TEST(PostgresErrors, SqlstatesSayWhatTheCallerShouldDo) {
  const auto is = [](std::string_view state, base::Code code, std::string_view reason) {
    const auto error = postgres_error(state, "m");
    EXPECT_EQ(error.code, code) << state;
    EXPECT_EQ(error.reason, reason) << state;
  };
  is("53100", base::Code::unavailable, "storage_full");
  for (const auto* state : {"", "08006", "53300", "57P01", "57P03", "57014", "58030", "40001", "40P01",
                            "25006", "25P03", "55P03", "3D000"})
    is(state, base::Code::unavailable, "storage_failed");
  is("XX001", base::Code::corrupt, "store_corrupt");
  is("28P01", base::Code::denied, "storage_failed");
  is("42501", base::Code::denied, "storage_failed");
  is("22021", base::Code::invalid, "text_not_storable");
  is("23505", base::Code::internal, "");
  is("42P01", base::Code::internal, "");
}

TEST(PostgresErrors, ThePasswordOfAUrlIsFoundAndTakenOut) {
  const std::string url = "postgres://u:p%40ss%2Fword@h:1/d";
  EXPECT_EQ(password_of(url), "p@ss/word");
  EXPECT_EQ(place_of(url), "h:1/d");
  EXPECT_EQ(without_password("FATAL: p@ss/word\nand p@ss/word\n", url), "FATAL: [REDACTED] and [REDACTED]");
}

}  // namespace

}  // namespace agentrouter::store::postgres
