#include "runs/claim.h"

#include <gtest/gtest.h>

#include "runs/cancel.h"
#include "runs/decide.h"
#include "runs/journal_commit.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using std::chrono::milliseconds;

class ClaimRun : public ::testing::Test {
 protected:
  void submit(std::string_view name) {
    auto run = testing::make_run(name);
    run.workspace = {.kind = model::WorkspaceKind::path, .path = "/srv/" + std::string(name)};
    db_.write([&](store::Transaction& tx) { tx.insert_run(run); });
  }
  std::optional<Claim> claim(std::string worker = "worker_1") {
    return db_.write([&](store::Transaction& tx) {
      return claim_run(tx, {worker, milliseconds(1000), "host_1"}, context());
    });
  }
  base::Result<Claim> take(const Claim& claim, std::optional<LeaseSeen> stood_still = std::nullopt) {
    return db_.write([&](store::Transaction& tx) {
      return take_over(tx, claim.attempt.id, {"worker_2", milliseconds(1000), "host_2"}, stood_still, context());
    });
  }
  base::Result<store::Attempt> renew(const Fence& fence) {
    return db_.write(
        [&](store::Transaction& tx) { return renew_lease(tx, fence, milliseconds(1000), context()); });
  }
  bool is_safe(const Claim& claim) {
    return db_.read([&](store::Reader& reader) { return did_nothing(reader, *reader.attempt(claim.attempt.id)); });
  }
  void note_launch_of(const Claim& claim) {
    ASSERT_TRUE(db_.write([&](store::Transaction& tx) { return note_launch(tx, claim.fence()); }));
  }
  // The keeper asks, or begins without asking.
  void commit(const Claim& claim, std::int64_t from, std::vector<model::EventDraft> events,
              std::vector<Question> questions = {}) {
    JournalBatch batch;
    batch.from_offset = from;
    batch.to_offset = from + 10;
    batch.events = std::move(events);
    batch.questions = std::move(questions);
    ASSERT_TRUE(db_.write(
        [&](store::Transaction& tx) { return commit_journal(tx, claim.fence(), batch, context()); }));
  }
  base::Result<Claim> next_attempt(const Fence& lost) {
    return db_.write([&](store::Transaction& tx) {
      return start_next_attempt(tx, lost, {"worker_1", milliseconds(1000)}, "keeper_lost", context());
    });
  }
  std::string fence_error(const Fence& fence) {
    const auto checked = db_.read([&](store::Reader& reader) { return check_fence(reader, fence); });
    return checked ? "" : checked.error().reason;
  }
  std::vector<std::string> events(std::string_view name) {
    std::vector<std::string> types;
    const auto page =
        db_.read([&](store::Reader& reader) { return reader.events(testing::run_id(name), 0, 100); });
    for (const auto& event : page) types.push_back(event.type + " " + event.payload);
    return types;
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
};

TEST_F(ClaimRun, NothingQueuedIsNothingClaimed) {
  EXPECT_FALSE(claim());
}

TEST_F(ClaimRun, StartsTheRunWithItsFirstAttempt) {
  submit("a");
  db_.clock.advance(milliseconds(5));
  const auto claimed = claim();
  ASSERT_TRUE(claimed);
  const auto run = db_.read([](store::Reader& reader) { return reader.run(testing::run_id("a")); });
  EXPECT_EQ(run->to_wire(), claimed->run.to_wire());
  EXPECT_EQ(run->status, model::RunStatus::starting);
  EXPECT_EQ(run->started_at, db_.clock.now());
  EXPECT_EQ(run->attempts, 1);
  EXPECT_EQ(claimed->attempt.number, 1);
  EXPECT_EQ(claimed->attempt.token, 1);
  EXPECT_EQ(claimed->attempt.slot, 0);
  EXPECT_EQ(claimed->attempt.lower_path, "/srv/a");
  EXPECT_EQ(claimed->attempt.lease_until, db_.clock.now() + milliseconds(1000));
  EXPECT_TRUE(base::is_prefixed_uuid(claimed->attempt.id.str(), "attempt_"));
  EXPECT_EQ(events("a"), std::vector<std::string>{R"(run.claimed {"workerId":"worker_1"})"});
  EXPECT_FALSE(claim());
}

TEST_F(ClaimRun, ARunGoesToOneWorkerAndSlotsDiffer) {
  submit("a");
  submit("b");
  const auto first = claim("worker_1");
  const auto second = claim("worker_2");
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->run.id, second->run.id);
  EXPECT_NE(first->attempt.slot, second->attempt.slot);
}

TEST_F(ClaimRun, RenewingMovesTheLease) {
  submit("a");
  const auto fence = claim()->fence();
  db_.clock.advance(milliseconds(900));
  const auto renewed = renew(fence);
  ASSERT_TRUE(renewed);
  EXPECT_EQ(renewed->lease_until, db_.clock.now() + milliseconds(1000));
}

TEST_F(ClaimRun, AnOldTokenIsFencedOff) {
  submit("a");
  const auto old = *claim();
  const auto taken = take(old);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->attempt.token, 2);
  EXPECT_EQ(taken->attempt.worker_id, "worker_2");
  EXPECT_EQ(fence_error(old.fence()), "lease_lost");
  EXPECT_EQ(fence_error(taken->fence()), "");
  EXPECT_EQ(fence_error({model::AttemptId("attempt_x"), 1}), "attempt_not_found");
  EXPECT_EQ(taken->attempt.host, "host_1");  // its folder stays where it is
  EXPECT_EQ(renew(old.fence()).error().reason, "lease_lost");
}

TEST_F(ClaimRun, ALeaseIsTakenOnlyWhileItStandsStill) {
  submit("a");
  const auto old = *claim();
  const auto before = seen(old.attempt);
  ASSERT_TRUE(renew(old.fence()));
  EXPECT_EQ(take(old, before).error().reason, "lease_held");
  const auto now = seen(*renew(old.fence()));
  EXPECT_NE(now, before);
  EXPECT_TRUE(take(old, now));
  EXPECT_EQ(take(old, now).error().reason, "lease_held");  // another one was faster
}

TEST_F(ClaimRun, NoJumpOfTheWallClockTakesALeaseFromItsHolder) {
  submit("a");
  const auto held = *claim();
  for (const auto jump : {std::chrono::hours(1), std::chrono::hours(-2)}) {
    db_.clock.advance(jump);
    const auto renewed = renew(held.fence());
    ASSERT_TRUE(renewed);
    EXPECT_EQ(renewed->token, held.attempt.token);
    EXPECT_EQ(take(held, seen(held.attempt)).error().reason, "lease_held");
  }
}

TEST_F(ClaimRun, OfAnAttemptThatNobodyCanLookAtItIsKnownWhetherItCertainlyDidNothing) {
  submit("a");
  const auto held = *claim();
  EXPECT_TRUE(is_safe(held));  // no keeper
  note_launch_of(held);
  EXPECT_FALSE(is_safe(held));
  commit(held, 0, {}, {{model::ActionId("action_1"), "sha256:digest", "sha256:args", "approval_1", "evt_1"}});
  EXPECT_TRUE(is_safe(held));  // its launch waits for a person
  const DecisionRequest yes{held.run.id, model::ActionId("action_1"), "sha256:digest", Decision::approved, ""};
  ASSERT_TRUE(db_.write([&](store::Transaction& tx) { return decide_action(tx, yes, context()); }));
  EXPECT_FALSE(is_safe(held));  // who knows whether it was delivered
}

TEST_F(ClaimRun, AnAgentThatHasBegunIsNotSafeWhateverItAsks) {
  submit("a");
  const auto held = *claim();
  note_launch_of(held);
  const auto about = [](std::string_view type, std::string_view action) {
    return testing::make_draft(type, R"({"actionId":")" + std::string(action) +
                                         R"(","actionDigest":"sha256:d","argsDigest":"sha256:a"})");
  };
  commit(held, 0,
         {about("action.proposed", "action_1"), about("execution.started", "action_1"),
          about("action.proposed", "action_2"), about("approval.requested", "action_2")},
         {{model::ActionId("action_2"), "sha256:d", "sha256:a", "approval_2", "evt_2"}});
  EXPECT_FALSE(is_safe(held));
}

TEST_F(ClaimRun, OnceThereIsANextAttemptTheLostOneIsOnlyRetired) {
  submit("a");
  const auto lost = *claim();
  ASSERT_TRUE(next_attempt(lost.fence()));
  EXPECT_EQ(fence_error(lost.fence()), "lease_lost");
  EXPECT_EQ(renew(lost.fence()).error().reason, "lease_lost");
  const auto noted = db_.write([&](store::Transaction& tx) { return note_launch(tx, lost.fence()); });
  EXPECT_EQ(noted.error().reason, "lease_lost");
  EXPECT_TRUE(db_.write([&](store::Transaction& tx) { return retire_attempt(tx, lost.fence()); }));
}

TEST_F(ClaimRun, ARetiredAttemptFreesItsSlotAndCannotBeTaken) {
  submit("a");
  submit("b");
  const auto first = *claim();
  ASSERT_TRUE(db_.write([&](store::Transaction& tx) { return retire_attempt(tx, first.fence()); }));
  EXPECT_EQ(take(first).error().reason, "attempt_closed");
  EXPECT_EQ(claim()->attempt.slot, 0);
}

TEST_F(ClaimRun, TheNextAttemptIsAnnouncedAndFencesTheLostOne) {
  submit("a");
  const auto lost = *claim();
  const auto next = next_attempt(lost.fence());
  ASSERT_TRUE(next);
  EXPECT_EQ(next->attempt.number, 2);
  EXPECT_EQ(next->attempt.token, 2);
  EXPECT_EQ(next->attempt.journal_offset, 0);
  EXPECT_NE(next->attempt.slot, lost.attempt.slot);
  EXPECT_EQ(next->run.attempts, 2);
  EXPECT_EQ(events("a").back(), R"(run.attempt_started {"attempt":2,"reason":"keeper_lost"})");
  EXPECT_EQ(next_attempt(lost.fence()).error().reason, "lease_lost");
}

TEST_F(ClaimRun, ACancelledRunGetsNoNextAttempt) {
  submit("a");
  const auto lost = *claim();
  ASSERT_TRUE(db_.write([&](store::Transaction& tx) { return cancel_run(tx, lost.run.id, context()); }));
  EXPECT_EQ(next_attempt(lost.fence()).error().reason, "run_not_active");
}

TEST_F(ClaimRun, TheNextAttemptVoidsQuestionsAndForgetsDeliveries) {
  submit("a");
  const auto lost = *claim();
  JournalBatch batch;
  batch.to_offset = 10;
  for (const auto* action : {"action_1", "action_2"}) {
    batch.questions.push_back(
        {model::ActionId(action), "sha256:digest", "sha256:args", "approval_1", "evt_1"});
  }
  const auto decide = [&](store::Transaction& tx) {
    return decide_action(
        tx, {lost.run.id, model::ActionId("action_1"), "sha256:digest", Decision::approved, ""}, context());
  };
  ASSERT_TRUE(
      db_.write([&](store::Transaction& tx) { return commit_journal(tx, lost.fence(), batch, context()); }));
  ASSERT_TRUE(db_.write(decide));
  const auto next = next_attempt(lost.fence());
  ASSERT_TRUE(next);
  const auto undelivered = [&] {
    return db_.read([&](store::Reader& reader) { return reader.undelivered_approvals(lost.run.id).size(); });
  };
  EXPECT_EQ(undelivered(), 0u);
  EXPECT_EQ(db_.read([&](store::Reader& reader) {
                 return reader.approval(lost.run.id, model::ActionId("action_2"));
               })
                ->state,
            store::ApprovalState::void_);
  // The same action with the same digest, asked again: the decision stands and is delivered to the new
  // keeper.
  batch.questions.pop_back();
  ASSERT_TRUE(
      db_.write([&](store::Transaction& tx) { return commit_journal(tx, next->fence(), batch, context()); }));
  EXPECT_EQ(undelivered(), 1u);
}

}  // namespace

}  // namespace agentrouter::runs
