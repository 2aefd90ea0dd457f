// Later turns: what they begin with, what goes wrong with it, and how it is thrown away.

#include <boost/asio/post.hpp>
#include <future>

#include "runs/conversations.h"
#include "runs/fork.h"
#include "worker/checkpoint_source.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConversationTest : public WorkerTest {
 protected:
  static std::string script(std::string_view says, json::object more = {}) {
    more["says"] = says;
    return base::to_text(more);
  }
  model::RunId go_on(const model::RunId& first, std::string_view script,
                     std::optional<model::ApprovalMode> mode = {}) {
    const runs::ContinueRequest request{.run = first, .message = std::string(script), .approval_mode = mode};
    const auto continued =
        write([&](store::Transaction& tx) { return runs::continue_run(tx, request, now()); });
    return base::value_or_throw(continued).run.id;
  }
  std::optional<store::Checkpoint> checkpoint(const model::RunId& id) {
    for (const auto& each :
         read([&](store::Reader& reader) { return reader.checkpoints(reader.run(id)->conversation_id); }))
      if (each.run_id == id) return each;
    return std::nullopt;
  }
  // The bytes that a turn has left.
  std::string state(const model::RunId& id) {
    auto found = blobs_->open(checkpoint_key(id), {});
    return found ? base::value_or_throw(base::read_all(found->fd.get(), 1u << 20)) : "nothing";
  }
  // A turn that goes well and leaves `keeps` behind what it began with.
  model::RunId first_turn(std::string_view keeps) {
    const auto id = submit(script("say ok\n", {{"keeps", keeps}}));
    until_retired(id);
    EXPECT_EQ(failure(id), "completed");
    return id;
  }
  model::RunId next_turn(const model::RunId& first, std::string_view keeps) {
    const auto id = go_on(first, script("say ok\n", {{"keeps", keeps}}));
    until_retired(id);
    return id;
  }
  model::RunId forked_turn(const model::RunId& run, int turn, std::string_view keeps) {
    const runs::ForkRequest request{
        .run = run, .message = script("say ok\n", {{"keeps", keeps}}), .at_turn = turn};
    const auto forked = write([&](store::Transaction& tx) { return runs::fork_run(tx, request, now()); });
    const auto id = base::value_or_throw(forked).run.id;
    until_retired(id);
    return id;
  }
  std::string lost_state(const model::RunId& id) {
    return std::string(base::get_string(payload(id, "sandbox.destroyed"), "checkpointLost").value_or(""));
  }
  bool reclaimed(const model::RunId& first) {
    return read([&](store::Reader& reader) { return reader.conversation(first)->reclaimed; });
  }
  void close(const model::RunId& first) {
    ASSERT_TRUE(write([&](store::Transaction& tx) { return runs::close_conversation(tx, first, now()); }));
  }
  // The worker stops from inside of a launch; what the launch does goes on meanwhile.
  void stop_and_wait() {
    std::promise<void> stopped;
    asio::post(io_, [&] {
      worker_->stop();
      stopped.set_value();
    });
    stopped.get_future().wait();
  }
};

TEST_F(ConversationTest, ALaterTurnHasAPatchOfItsOwn) {
  start();
  const auto first = first_turn("one ");
  const auto second = next_turn(first, "two ");
  EXPECT_EQ(blob(first, "workspace_turn_patch"), "no such artifact");
  EXPECT_FALSE(payload(first, "workspace.patch_collected").contains("turn"));
  EXPECT_EQ(blob(second, "workspace_turn_patch"), "a turn's patch");
  EXPECT_EQ(blob(second, "workspace_patch"), "a patch");
  const auto turn = payload(second, "workspace.patch_collected").at("turn").as_object();
  EXPECT_EQ(turn.at("bytes").as_int64(), 14);
  EXPECT_EQ(artifacts(second).size(), artifacts(first).size() + 1);
}

TEST_F(ConversationTest, EachTurnBeginsWithWhatTheOneBeforeHasLeft) {
  start();
  const auto first = first_turn("one ");
  const auto second = next_turn(first, "two ");
  const auto third = next_turn(second, "three ");
  EXPECT_EQ(state(first), "one ");
  EXPECT_EQ(state(second), "one two ");
  EXPECT_EQ(state(third), "one two three ");
  EXPECT_EQ(checkpoint(third)->sha256, base::Sha256::hex_of("one two three "));
  EXPECT_THAT(
      types(third),
      ElementsAre("run.claimed", "sandbox.resumed", "action.proposed", "policy.evaluated",
                  "execution.started", "agent.completed", "execution.completed", "provider.stdout",
                  "provider.stderr", "agent.response", "usage.recorded", "workspace.file_index_collected",
                  "workspace.patch_collected", "checkpoint.created", "sandbox.destroyed", "run.completed"));
  EXPECT_EQ(artifacts(third).size(), 7u);
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(ConversationTest, TheThreadOfAFailedTurnGoesOn) {
  start();
  const auto first =
      submit(script("event agent.started {\"provider\":\"codex\",\"threadId\":\"t1\"}\nfail agent_broken\n"));
  until_retired(first);
  EXPECT_EQ(failure(first), "agent_broken");
  EXPECT_EQ(checkpoint(first)->thread_id, "t1");
  // This one says nothing of a thread: it keeps the one that it was to resume.
  const auto second = go_on(first, script("fail agent_broken\n"));
  until_retired(second);
  EXPECT_EQ(checkpoint(second)->thread_id, "t1");
}

TEST_F(ConversationTest, AnAttemptThatIsRepeatedIsRestoredAgain) {
  start();
  const auto first = first_turn("one ");
  const auto second = go_on(first, script("say ok\n", {{"keeps", "two "}}), model::ApprovalMode::manual);
  until_event(second, "approval.requested");
  ::kill(launcher_.keepers.back(), SIGKILL);
  until([&] { return std::ranges::count(types(second), "approval.requested") == 2; });
  EXPECT_EQ(std::ranges::count(types(second), "sandbox.resumed"), 2);
  cancel(second);
  until_retired(second);
  EXPECT_FALSE(checkpoint(second));
  const auto third = go_on(first, script("say ok\n", {{"keeps", "three "}}));
  until_event(third, "approval.requested");  // inherited
  decide(third, runs::Decision::approved);
  until_retired(third);
  EXPECT_EQ(state(third), "one three ");
}

TEST_F(ConversationTest, ATurnWhoseKeeperIsLostLeavesTheStateBeforeIt) {
  start();
  const auto first = first_turn("one ");
  const auto second = go_on(first, endless_script);
  until_event(second, "agent.started");
  ::kill(launcher_.keepers.back(), SIGKILL);
  until_retired(second);
  EXPECT_EQ(failure(second), "attempt_lost");
  EXPECT_THAT(lost_state(second), HasSubstr("before it could keep the state"));
  EXPECT_EQ(state(next_turn(first, "three ")), "one three ");
}

TEST_F(ConversationTest, ACancelledTurnWhoseKeeperHadToBeKilledSaysSoAndTheNextGoesOnFromTheOneBefore) {
  config_.cancel_patience = std::chrono::milliseconds(20);
  start();
  const auto first = first_turn("one ");
  const auto second = go_on(first, endless_script);
  until_event(second, "agent.started");
  ::kill(launcher_.keepers.back(), SIGSTOP);
  cancel(second);
  until_retired(second);
  EXPECT_EQ(failure(second), "cancelled");
  EXPECT_THAT(lost_state(second), HasSubstr("before it could keep the state"));
  EXPECT_FALSE(payload(second, "sandbox.destroyed").contains("checkpointError"));
  EXPECT_EQ(lost_state(first), "");
  EXPECT_EQ(state(next_turn(first, "three ")), "one three ");
}

TEST_F(ConversationTest, ATurnThatIsCancelledBeforeItsAgentMayStartLosesNothing) {
  start();
  const auto first = first_turn("one ");
  const auto second = go_on(first, script("say ok\n"), model::ApprovalMode::manual);
  until_event(second, "approval.requested");
  cancel(second);
  ::kill(launcher_.keepers.back(), SIGKILL);
  until_retired(second);
  EXPECT_EQ(failure(second), "cancelled");
  EXPECT_EQ(lost_state(second), "");
}

TEST_F(ConversationTest, AFirstTurnWhoseKeeperIsLostIsFollowedByAFreshOne) {
  start();
  const auto first = submit(endless_script);
  until_event(first, "agent.started");
  ::kill(launcher_.keepers.back(), SIGKILL);
  until_retired(first);
  const auto second = next_turn(first, "two ");
  EXPECT_EQ(failure(second), "completed");
  EXPECT_EQ(state(second), "two ");
  EXPECT_THAT(types(second), Contains("sandbox.created"));
}

TEST_F(ConversationTest, ATurnThatCannotSaySavesNothingAndTheNextSaysWhy) {
  start();
  const auto first = submit(script("say ok\n", {{"checkpoint", R"({"error":"there are too many files"})"}}));
  until_retired(first);
  EXPECT_EQ(failure(first), "completed");
  EXPECT_THAT(types(first), Not(Contains("checkpoint.created")));
  EXPECT_THAT(base::get_string(payload(first, "sandbox.destroyed"), "checkpointError").value_or(""),
              HasSubstr("there are too many files"));
  const auto second = go_on(first, simple_script);
  until_retired(second);
  EXPECT_EQ(failure(second), "checkpoint_unavailable");
  EXPECT_THAT(run(second).failure->reason, HasSubstr("turn 1"));
  EXPECT_THAT(run(second).failure->reason, HasSubstr("there are too many files"));
  EXPECT_THAT(types(second), ElementsAre("run.claimed", "run.failed"));
  EXPECT_EQ(launcher_.requests.size(), 1u);
}

TEST_F(ConversationTest, ACheckpointThatIsNotWhatItsKeeperSaysIsNotKept) {
  start();
  const auto first = submit(
      script("say ok\n",
             {{"checkpoint", R"({"bytes":12,"sha256":")" + std::string(64, 'c') + R"(","entries":2})"}}));
  until_retired(first);
  EXPECT_EQ(failure(first), "completed");
  EXPECT_FALSE(checkpoint(first));
  EXPECT_EQ(state(first), "nothing");
  EXPECT_THAT(base::get_string(payload(first, "sandbox.destroyed"), "checkpointError").value_or(""),
              HasSubstr("not what its keeper has written"));
}

TEST_F(ConversationTest, AStateThatIsGoneOrDamagedFailsTheTurnUntilItIsBack) {
  start();
  const auto first = first_turn("one ");
  blobs_->remove(checkpoint_key(first));
  const auto gone = next_turn(first, "two ");
  blobs_->put(checkpoint_key(first), "eno ");
  const auto damaged = next_turn(first, "three ");
  EXPECT_EQ(failure(gone), "checkpoint_unavailable");
  EXPECT_EQ(failure(damaged), "checkpoint_unavailable");
  EXPECT_THAT(types(damaged), ElementsAre("run.claimed", "run.failed"));
  EXPECT_EQ(launcher_.requests.size(), 1u);
  EXPECT_THAT(left_in("attempts"), IsEmpty());
  blobs_->put(checkpoint_key(first), "one ");
  EXPECT_EQ(state(next_turn(first, "four ")), "one four ");
}

TEST_F(ConversationTest, AnOlderStateThatIsGoneIsOfNoInterest) {
  start();
  const auto first = first_turn("one ");
  next_turn(first, "two ");
  blobs_->remove(checkpoint_key(first));
  EXPECT_EQ(state(next_turn(first, "three ")), "one two three ");
}

TEST_F(ConversationTest, AForkBeginsWithItsTurnAndGoesItsOwnWay) {
  start();
  const auto first = first_turn("one ");
  next_turn(first, "two ");
  const auto early = forked_turn(first, 1, "else ");
  EXPECT_EQ(failure(early), "completed");
  EXPECT_EQ(state(early), "one else ");
  EXPECT_THAT(types(early), Contains("sandbox.resumed"));
  EXPECT_THAT(types(early), Not(Contains("sandbox.created")));
  EXPECT_EQ(state(next_turn(early, "more ")), "one else more ");
  EXPECT_EQ(state(next_turn(first, "three ")), "one two three ");
  EXPECT_EQ(state(forked_turn(early, 1, "again ")), "one else again ");
}

TEST_F(ConversationTest, AForkOutlivesTheConversationThatItComesFrom) {
  start();
  const auto first = first_turn("one ");
  const auto second = next_turn(first, "two ");
  const auto forked = forked_turn(first, 1, "else ");
  close(first);
  until([&] { return reclaimed(first); });
  EXPECT_EQ(state(second), "nothing");
  EXPECT_EQ(state(first), "one ");
  EXPECT_EQ(state(next_turn(forked, "more ")), "one else more ");
  close(forked);
  until([&] { return reclaimed(forked); });
  EXPECT_EQ(state(first), "nothing");
  EXPECT_EQ(state(forked), "nothing");
}

TEST_F(ConversationTest, ClosingEndsATurnThatWaitsInTheQueueOrForAPerson) {
  config_.concurrency = 1;
  start();
  const auto asking = submit(simple_script, model::ApprovalMode::manual);
  const auto queued = submit(simple_script);
  until_event(asking, "approval.requested");
  close(queued);
  until([&] { return reclaimed(queued); });
  EXPECT_THAT(types(queued), ElementsAre("run.cancelled"));
  close(asking);
  until_retired(asking);
  until([&] { return reclaimed(asking); });
  EXPECT_EQ(run(asking).status, model::RunStatus::cancelled);
  EXPECT_THAT(types(asking), Not(Contains("execution.started")));
}

TEST_F(ConversationTest, ExpiredStateIsThrownAwayWhenItsTimeIsOver) {
  config_.conversations.one_shot_grace = 20ms;
  config_.conversations.idle_ttl = 20ms;
  start();
  const auto first = first_turn("one ");
  const auto second = next_turn(first, "two ");
  clock_.advance(19ms);
  until_quiet();
  EXPECT_EQ(state(second), "one two ");
  clock_.advance(1ms);
  until([&] { return reclaimed(first); });
  EXPECT_EQ(state(first), "nothing");
  EXPECT_EQ(state(second), "nothing");
  EXPECT_FALSE(checkpoint(second));
  EXPECT_THROW(go_on(first, simple_script), base::Failure);
}

TEST_F(ConversationTest, AClosedConversationIsReclaimedAtOnceAndAnActiveTurnIsEndedFirst) {
  start();
  const auto first = first_turn("one ");
  const auto second = go_on(first, endless_script);
  until_event(second, "agent.started");
  close(first);
  until_retired(second);
  EXPECT_EQ(run(second).status, model::RunStatus::cancelled);
  until([&] { return reclaimed(first); });
  EXPECT_EQ(state(first), "nothing");
  EXPECT_EQ(state(second), "nothing");
  const auto other = first_turn("one ");
  close(other);
  until([&] { return reclaimed(other); });
  EXPECT_EQ(state(other), "nothing");
}

TEST_F(ConversationTest, WhatExpiredWhileNoWorkerWasThereIsReclaimedAtTheStart) {
  const runs::ConversationRules rules;
  start();
  const auto first = first_turn("one ");
  const auto longer = first_turn("one ");
  const auto second = next_turn(longer, "two ");
  stop();
  clock_.advance(rules.one_shot_grace);
  EXPECT_EQ(state(first), "one ");
  start();
  until([&] { return reclaimed(first); });
  EXPECT_EQ(state(first), "nothing");
  EXPECT_EQ(state(second), "one two ");
  stop();
  clock_.advance(rules.idle_ttl - rules.one_shot_grace);
  start();
  until([&] { return reclaimed(longer); });
  EXPECT_EQ(state(longer), "nothing");
  EXPECT_EQ(state(second), "nothing");
}

TEST_F(ConversationTest, KeysWhoseTimeIsOverAreForgottenWithoutAnotherRequest) {
  const auto keep = [&](const char* name, std::chrono::milliseconds time) {
    write([&](store::Transaction& tx) {
      tx.put_idempotency_key({name, "body", testing::run_id("r"), clock_.now() + time});
    });
  };
  const auto known = [&](const char* name) {
    return read([&](store::Reader& reader) { return reader.idempotency_key(name).has_value(); });
  };
  keep("over", -1ms);
  keep("soon", 20ms);
  keep("late", 24h);
  start();
  until([&] { return !known("over"); });
  until_quiet();
  EXPECT_TRUE(known("soon"));
  clock_.advance(21ms);
  until([&] { return !known("soon"); });
  EXPECT_TRUE(known("late"));
}

TEST_F(ConversationTest, AWorkerThatStopsDuringALaunchLeavesTheRunToTheNextOne) {
  start();
  const auto first = first_turn("one ");
  launcher_.before_keeper = [this] { stop_and_wait(); };
  const auto second = go_on(first, script("say ok\n", {{"keeps", "two "}}));
  until([&] { return !running_; });
  launcher_.before_keeper = {};
  EXPECT_EQ(open_attempts(), 1u);
  stop();
  start();
  until_retired(second);
  EXPECT_EQ(failure(second), "completed");
  EXPECT_THAT(types(second), Not(Contains("run.attempt_started")));
  EXPECT_EQ(state(second), "one two ");
}

TEST_F(ConversationTest, AWorkerThatStopsBeforeTheKeeperAnswersLeavesTheRunToTheNextOne) {
  start();
  const auto first = first_turn("one ");
  launcher_.after_keeper = [this](pid_t keeper) {
    ::kill(keeper, SIGSTOP);
    asio::post(io_, [this] { worker_->stop(); });
  };
  const auto second = go_on(first, script("say ok\n", {{"keeps", "two "}}));
  until([&] { return !running_; });
  launcher_.after_keeper = {};
  ::kill(launcher_.keepers.back(), SIGCONT);
  EXPECT_EQ(open_attempts(), 1u);
  stop();
  start();
  until_retired(second);
  EXPECT_EQ(failure(second), "completed");
  EXPECT_EQ(state(second), "one two ");
}

}  // namespace
}  // namespace agentrouter::worker
