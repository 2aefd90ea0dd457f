#include "runs/fork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/cancel.h"
#include "runs/close.h"
#include "runs/conversations.h"
#include "runs/create.h"
#include "runs/record.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using namespace std::chrono_literals;

// Conversations whose turns are made, worked on and ended with one verb each.
class Forks : public ::testing::Test {
 protected:
  model::RunId create(NewRun request = {}) {
    request.task = "build a house";
    request.input = R"({"task":"build a house","metadata":{"x":1}})";
    return db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
  }
  // The worker's whole part, for the run that was asked for first.
  model::RunId end(std::string_view checkpoint = "kept") {
    return db_.write([&](store::Transaction& tx) {
      const auto claim = claim_run(tx, {"worker_1"}, context());
      AGENTROUTER_CHECK(claim.has_value());
      Ending ending;
      ending.status = model::RunStatus::completed;
      ending.tail = {testing::make_draft(
          "sandbox.destroyed", checkpoint == "failed" ? R"({"checkpointError":"too many files"})" : "{}")};
      if (checkpoint == "kept") {
        ending.checkpoint = store::Checkpoint{};
        ending.checkpoint->key = key(claim->run.id);
        ending.checkpoint->thread_id = "thread_1";
      }
      base::value_or_throw(begin_close(tx, claim->fence(), ending, context()));
      base::value_or_throw(finish_close(tx, claim->fence(), {}, context()));
      base::value_or_throw(retire_attempt(tx, claim->fence()));
      return claim->run.id;
    });
  }
  model::RunId ended(NewRun request = {}) {
    create(std::move(request));
    return end();
  }
  model::RunId say(const model::RunId& run) {
    return base::value_or_throw(db_.write([&](store::Transaction& tx) {
             return continue_run(tx, {run, "more"}, context());
           }))
        .run.id;
  }
  base::Result<Forked> fork(ForkRequest request) {
    return db_.write([&](store::Transaction& tx) { return fork_run(tx, request, context()); });
  }
  base::Result<Forked> fork(const model::RunId& run, std::optional<int> turn = {}) {
    return fork({run, "else", turn});
  }
  std::string refused(const model::RunId& run, std::optional<int> turn = {}) {
    const auto forked = fork(run, turn);
    return forked ? "forked" : forked.error().reason;
  }
  void close(const model::RunId& run) {
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return close_conversation(tx, run, context()); }));
  }
  // What the reclaimer would delete.
  std::vector<std::string> begin(const model::RunId& conversation) {
    std::vector<std::string> keys;
    for (const auto& doomed : base::value_or_throw(
             db_.write([&](store::Transaction& tx) { return begin_reclaim(tx, conversation, context()); })))
      keys.push_back(doomed.key);
    return keys;
  }
  void finish(const model::RunId& conversation) {
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return reclaim(tx, conversation, context()); }));
  }
  // The key of what a first turn begins with.
  std::string begins_with(const model::RunId& run) {
    const auto found = db_.read([&](store::Reader& reader) { return reader.latest_checkpoint(run, 1); });
    return found ? found->key : "nothing";
  }
  RunRecord record(const model::RunId& run) {
    return base::value_or_throw(
        db_.read([&](store::Reader& reader) { return run_record(reader, run, db_.clock.now()); }));
  }
  static std::string key(const model::RunId& run) { return "runs/" + run.str() + "/checkpoint"; }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
};

TEST_F(Forks, AreConversationsOfTheirOwnThatInheritLikeANextTurn) {
  NewRun request;
  request.runtime = {model::RuntimeKind::codex, "read_only", "gpt-5.5"};
  request.approval_mode = model::ApprovalMode::manual;
  request.workspace = {.kind = model::WorkspaceKind::path, .path = "/srv/repo"};
  request.priority = 2;
  request.tags = {{"env", "prod"}};
  request.approval_timeout = 90s;
  const auto first = ended(request);
  db_.clock.advance(1s);
  const auto forked = fork(first);
  ASSERT_TRUE(forked);
  const auto run = *db_.read([&](store::Reader& reader) { return reader.run(forked->run.id); });
  EXPECT_EQ(run.to_wire(), forked->run.to_wire());
  EXPECT_EQ(run.status, model::RunStatus::queued);
  EXPECT_EQ(run.conversation_id, run.id);
  EXPECT_EQ(run.turn_number, 1);
  EXPECT_TRUE(base::is_prefixed_uuid(run.turn_id, "turn_"));
  EXPECT_FALSE(run.session_id);
  EXPECT_EQ(run.task, "else");
  EXPECT_EQ(run.input, R"({"task":"else","runtime":{"kind":"codex","mode":"read_only","model":"gpt-5.5"}})");
  EXPECT_EQ(run.approval_mode, model::ApprovalMode::manual);
  EXPECT_EQ(run.workspace, request.workspace);
  EXPECT_EQ(run.priority, 2);
  EXPECT_EQ(run.tags, request.tags);
  EXPECT_EQ(run.approval_timeout, 90s);
  EXPECT_EQ(run.queued_at, db_.clock.now());
  EXPECT_THAT(run.to_wire(), HasSubstr(R"("forkedFrom":{"runId":")" + first.str() +
                                       R"(","conversationId":")" + first.str() + R"(","turn":1})"));
  const auto opened = db_.read([&](store::Reader& reader) { return reader.conversation(run.id); });
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->state, store::ConversationState::open);
  EXPECT_EQ(opened->expires_at, store::never);
}

TEST_F(Forks, BeginWithTheStateOfTheirTurnAndItsThread) {
  const auto first = ended();
  const auto second = say(first);
  end();
  EXPECT_EQ(begins_with(fork(first)->run.id), key(second));
  EXPECT_EQ(begins_with(fork(first, 2)->run.id), key(second));
  const auto early = fork(second, 1);
  EXPECT_EQ(begins_with(early->run.id), key(first));
  EXPECT_EQ(early->run.forked_from->run, first);
  EXPECT_EQ(early->run.forked_from->turn, 1);
  const auto held = db_.read([&](store::Reader& reader) { return reader.checkpoints(early->run.id); });
  ASSERT_EQ(held.size(), 1u);
  EXPECT_EQ(held[0].run_id, first);
  EXPECT_EQ(held[0].conversation_id, early->run.id);
  EXPECT_EQ(held[0].turn_number, 0);
  EXPECT_EQ(held[0].thread_id, "thread_1");
}

TEST_F(Forks, LeaveTheOtherConversationAsItWas) {
  const auto first = ended();
  const auto before = record(first).to_wire();
  const auto forked = fork(first)->run.id;
  EXPECT_EQ(record(first).to_wire(), before);
  say(first);
  end();  // the fork was asked for first
  EXPECT_TRUE(model::is_terminal(db_.read([&](store::Reader& r) { return r.run(forked); })->status));
  end();
  EXPECT_EQ(say(forked).str().substr(0, 4), "run_");
}

TEST_F(Forks, ABusyConversationIsForkedAtTurnsThatHaveEnded) {
  const auto first = create();
  EXPECT_EQ(refused(first), "run_busy");
  EXPECT_EQ(refused(first, 1), "run_busy");
  end();
  const auto second = say(first);
  EXPECT_EQ(begins_with(fork(second)->run.id), key(first));
  EXPECT_EQ(begins_with(fork(second, 1)->run.id), key(first));
  EXPECT_EQ(refused(first, 2), "run_busy");
}

TEST_F(Forks, OfAForkAreForksOfWhatItBeganWithOrMade) {
  const auto first = ended();
  const auto one = fork(first)->run.id;
  EXPECT_EQ(refused(one), "run_busy");
  end();
  const auto two = fork(one);
  EXPECT_EQ(begins_with(two->run.id), key(one));
  EXPECT_EQ(two->run.forked_from->conversation, one);
  end();
  EXPECT_THAT(record(two->run.id).to_wire(),
              HasSubstr(R"("forkedFrom":{"runId":")" + one.str() + R"(","conversationId":")" + one.str()));
  // A first turn that changed nothing leaves what it began with.
  const auto idle = fork(first)->run.id;
  end("none");
  EXPECT_EQ(begins_with(fork(idle)->run.id), key(first));
  EXPECT_EQ(fork(idle)->run.forked_from->run, idle);
}

TEST_F(Forks, ATurnThatLeftNoStateIsForkedFromTheOneBeforeIt) {
  const auto first = ended();
  const auto second = say(first);
  end("none");
  const auto forked = fork(first, 2);
  EXPECT_EQ(begins_with(forked->run.id), key(first));
  EXPECT_EQ(forked->run.forked_from->run, second);
  EXPECT_EQ(fork(first)->run.forked_from->turn, 1);
}

TEST_F(Forks, AStateThatWasNeverThereOrCouldNotBeKeptIsNotForked) {
  create();
  const auto nothing = end("none");
  EXPECT_EQ(refused(nothing), "checkpoint_unavailable");
  EXPECT_EQ(fork(nothing).error().code, base::Code::unavailable);
  const auto first = ended();
  say(first);
  end("failed");
  const auto lost = fork(first, 2);
  EXPECT_EQ(lost.error().reason, "checkpoint_unavailable");
  EXPECT_THAT(lost.error().message, HasSubstr("turn 2 left none, too many files"));
  EXPECT_EQ(begins_with(fork(first)->run.id), key(first));
}

TEST_F(Forks, UnknownRunsTurnsAndReviewsAreRefused) {
  EXPECT_EQ(refused(model::RunId("run_x")), "run_not_found");
  const auto first = ended();
  EXPECT_EQ(refused(first, 2), "turn_not_found");
  EXPECT_EQ(fork(first, 2).error().code, base::Code::not_found);
  NewRun request;
  request.runtime.mode = "auto_review";
  EXPECT_EQ(refused(ended(request)), "run_not_continuable");
}

TEST_F(Forks, AClosedOrExpiredConversationIsForkedUntilItsStateIsThrownAway) {
  const auto closed = ended();
  close(closed);
  EXPECT_EQ(begins_with(fork(closed)->run.id), key(closed));
  const auto expired = ended();
  end();
  db_.clock.advance(10min);
  EXPECT_EQ(begins_with(fork(expired)->run.id), key(expired));
  const auto gone = ended();
  end();
  close(gone);
  EXPECT_THAT(begin(gone), ElementsAre(key(gone)));
  EXPECT_EQ(refused(gone), "session_closed");
  finish(gone);
  EXPECT_EQ(refused(gone), "session_closed");
  EXPECT_EQ(refused(gone, 1), "session_closed");
}

TEST_F(Forks, WhatAForkNeedsIsThrownAwayWithTheLastConversationThatHasIt) {
  const auto first = ended();
  const auto second = say(first);
  end();
  const auto one = fork(first, 1)->run.id;
  const auto two = fork(first, 1)->run.id;
  end();
  end();
  close(first);
  EXPECT_THAT(begin(first), ElementsAre(key(second)));
  EXPECT_THAT(begin(first), ElementsAre(key(second)));  // again, as after a crash
  EXPECT_EQ(begins_with(one), key(first));
  finish(first);
  close(one);
  EXPECT_THAT(begin(one), ElementsAre(key(one)));
  EXPECT_EQ(begins_with(two), key(first));
  close(two);
  EXPECT_THAT(begin(two), ElementsAre(key(first), key(two)));
  finish(two);
  finish(one);
  for (const auto& conversation : {first, one, two})
    EXPECT_THAT(db_.read([&](store::Reader& reader) { return reader.checkpoints(conversation); }), IsEmpty());
}

TEST_F(Forks, ConversationsThatAreReclaimedTogetherThrowAwayEverythingOnce) {
  const auto first = ended();
  const auto forked = fork(first)->run.id;
  end();
  close(first);
  close(forked);
  EXPECT_THAT(begin(first), IsEmpty());
  EXPECT_THAT(begin(forked), ElementsAre(key(first), key(forked)));
  finish(first);
  EXPECT_THAT(begin(forked), ElementsAre(key(first), key(forked)));
  finish(forked);
}

TEST_F(Forks, TheRecordOffersAForkWhereAStateIs) {
  const auto first = create();
  EXPECT_THAT(record(first).operations, Not(Contains("fork")));
  end();
  EXPECT_THAT(record(first).operations, ElementsAre("continue", "fork", "close"));
  say(first);
  EXPECT_THAT(record(first).operations, ElementsAre("fork", "close"));
  const auto forked = fork(first)->run.id;
  EXPECT_THAT(record(forked).operations, ElementsAre("cancel", "close"));
  end();
  close(first);
  EXPECT_THAT(record(first).operations, ElementsAre("fork"));
  begin(first);
  EXPECT_THAT(record(first).operations, IsEmpty());
}

TEST_F(Forks, AKeyForksOnce) {
  const auto first = ended();
  const ForkRequest request{first, "else", 1, "key"};
  const auto made = fork(request);
  EXPECT_FALSE(made->replayed);
  close(first);
  begin(first);
  const auto again = fork(request);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->run.id, made->run.id);
  EXPECT_EQ(fork({first, "else", 2, "key"}).error().reason, "idempotency_conflict");
  EXPECT_EQ(fork({first, "else", {}, "key"}).error().reason, "idempotency_conflict");
  EXPECT_EQ(fork({first, "other", 1, "key"}).error().reason, "idempotency_conflict");
}

}  // namespace

}  // namespace agentrouter::runs
