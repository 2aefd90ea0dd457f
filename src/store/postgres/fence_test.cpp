// Attempts are fenced by the database itself.

#include "store/postgres/database_test.h"

namespace agentrouter::store::postgres {

namespace {

class Fence : public DatabaseTest {
 protected:
  void SetUp() override {
    migrate(session_);
    write([](Transaction& tx) { tx.insert_run(testing::make_run("r")); });
  }
  static Attempt attempt(int number, std::int64_t token) {
    Attempt made;
    made.id = model::AttemptId("attempt_" + std::to_string(number));
    made.run_id = testing::run_id("r");
    made.number = number;
    made.slot = number;
    made.token = token;
    made.created_at = testing::test_time();
    return made;
  }
  std::string insert(const Attempt& made) {
    return refused([&](Transaction& tx) { tx.insert_attempt(made); });
  }
  std::string update(const Attempt& made) {
    return refused([&](Transaction& tx) { tx.update_attempt(made); });
  }
  std::string refused(const std::function<void(Transaction&)>& work) {
    const auto reason = reason_of([&] { write(work); });
    session_.rollback();
    return reason;
  }
};

TEST_F(Fence, AnOlderTokenChangesNothing) {
  EXPECT_EQ(insert(attempt(1, 5)), "nothing thrown");
  EXPECT_EQ(update(attempt(1, 7)), "nothing thrown");
  EXPECT_EQ(update(attempt(1, 6)), "lease_lost");
  EXPECT_EQ(insert(attempt(2, 6)), "lease_lost");
  EXPECT_EQ(number("SELECT token FROM attempts"), 7);
}

TEST_F(Fence, WhoHoldsAnEarlierAttemptMayOnlyPutItAway) {
  auto first = attempt(1, 1);
  EXPECT_EQ(insert(first), "nothing thrown");
  EXPECT_EQ(insert(attempt(2, 2)), "nothing thrown");
  first.beats = 9;
  EXPECT_EQ(update(first), "lease_lost");
  first.open = false;
  EXPECT_EQ(update(first), "nothing thrown");
  EXPECT_EQ(number("SELECT open FROM attempts WHERE number = 1"), 0);
}

TEST_F(Fence, HoldsAgainstEveryProgram) {
  EXPECT_EQ(insert(attempt(1, 5)), "nothing thrown");
  try {
    (void)session_.query_text("UPDATE attempts SET token = 4");
    ADD_FAILURE() << "was taken";
  } catch (const Refused& error) {
    EXPECT_EQ(error.sqlstate(), "AR001");
  }
}

// Two claims that do not take the writer's turn: the second passes over the run that the first has picked.
TEST_F(Fence, AClaimPassesOverWhatAnotherOneHasLocked) {
  write([](Transaction& tx) { tx.insert_run(testing::make_run("s", 1)); });
  session_.begin(Session::Access::write);
  transaction_.begun();
  EXPECT_EQ(transaction_.queued_runs(1).at(0), testing::run_id("r"));
  Session other(options());
  other.connect();
  Capture capture;
  PgTransaction beside(other, capture);
  other.begin(Session::Access::write);
  EXPECT_EQ(beside.queued_runs(1).at(0), testing::run_id("s"));
  other.rollback();
  session_.rollback();
}

}  // namespace

}  // namespace agentrouter::store::postgres
