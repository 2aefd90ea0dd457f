#include "runs/cancel.h"

#include <gtest/gtest.h>

#include "runs/claim.h"
#include "runs/close.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

class CancelRun : public ::testing::Test {
 protected:
  void SetUp() override {
    db_.write([](store::Transaction& tx) { tx.insert_run(testing::make_run("a")); });
  }
  base::Result<model::Run> cancel() {
    return db_.write([&](store::Transaction& tx) { return cancel_run(tx, testing::run_id("a"), context()); });
  }
  base::Result<model::Run> settle() {
    return db_.write(
        [&](store::Transaction& tx) { return settle_cancelled(tx, testing::run_id("a"), context()); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
};

TEST_F(CancelRun, AQueuedRunIsCancellingInTheReplyAndThenCancelled) {
  const auto asked = cancel();
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->status, model::RunStatus::cancelling);
  EXPECT_EQ(asked->cancel_requested_at, db_.clock.now());
  db_.clock.advance(std::chrono::milliseconds(3));
  const auto settled = settle();
  ASSERT_TRUE(settled);
  EXPECT_EQ(settled->status, model::RunStatus::cancelled);
  EXPECT_EQ(settled->completed_at, db_.clock.now());
  EXPECT_FALSE(settled->failure);
  const auto events =
      db_.read([](store::Reader& reader) { return reader.events(testing::run_id("a"), 0, 10); });
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, "run.cancelled");
  EXPECT_EQ(settled->last_event_seq, 1);
}

TEST_F(CancelRun, RepeatingChangesNothing) {
  const auto first = cancel();
  db_.clock.advance(std::chrono::milliseconds(5));
  EXPECT_EQ(cancel()->to_wire(), first->to_wire());
  const auto settled = settle();
  EXPECT_EQ(settle()->to_wire(), settled->to_wire());
  EXPECT_EQ(cancel()->to_wire(), settled->to_wire());
}

TEST_F(CancelRun, ACancelledRunIsNotClaimed) {
  ASSERT_TRUE(cancel());
  EXPECT_FALSE(db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); }));
}

TEST_F(CancelRun, ARunThatAnAttemptHoldsIsNotSettledByTheStore) {
  const auto claimed =
      db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); });
  EXPECT_EQ(settle().error().reason, "run_not_settleable");
  ASSERT_TRUE(cancel());
  EXPECT_EQ(settle().error().reason, "run_not_settleable");
  ASSERT_TRUE(db_.write([&](store::Transaction& tx) { return retire_attempt(tx, claimed->fence()); }));
  EXPECT_EQ(settle()->status, model::RunStatus::cancelled);
}

TEST_F(CancelRun, AnUnknownRunIsNotFound) {
  const model::RunId unknown("run_x");
  const auto cancelled =
      db_.write([&](store::Transaction& tx) { return cancel_run(tx, unknown, context()); });
  EXPECT_EQ(cancelled.error().reason, "run_not_found");
  const auto settled =
      db_.write([&](store::Transaction& tx) { return settle_cancelled(tx, unknown, context()); });
  EXPECT_EQ(settled.error().reason, "run_not_found");
}

TEST_F(CancelRun, AQueuedRunCanBeFailedOnce) {
  const auto fail = [&] {
    return db_.write([&](store::Transaction& tx) {
      return fail_queued_run(tx, testing::run_id("a"), {"agent_missing", "no codex", ""}, context());
    });
  };
  const auto failed = fail();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->status, model::RunStatus::failed);
  EXPECT_EQ(failed->failure->code, "agent_missing");
  EXPECT_EQ(failed->last_event_seq, 1);
  EXPECT_EQ(fail().error().reason, "run_not_queued");
  EXPECT_EQ(cancel()->status, model::RunStatus::failed);
}

}  // namespace

}  // namespace agentrouter::runs
