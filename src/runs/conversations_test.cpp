#include "runs/conversations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "runs/cancel.h"
#include "runs/close.h"
#include "runs/create.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using namespace std::chrono_literals;

// One conversation whose turns are made, worked on and ended with one verb each.
class Conversations : public ::testing::Test {
 protected:
  void create(NewRun request = {}) {
    request.task = request.task.empty() ? "build a house" : request.task;
    if (request.input.empty()) request.input = R"({"task":"build a house","metadata":{"x":1}})";
    first_ = db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
    latest_ = first_;
  }
  // The worker's whole part.
  model::Run end(model::RunStatus status = model::RunStatus::completed, bool with_checkpoint = true) {
    return db_.write([&](store::Transaction& tx) {
      const auto claim = claim_run(tx, {"worker_1"}, context());
      AGENTROUTER_CHECK(claim.has_value());
      Ending ending;
      ending.status = status;
      ending.tail = {testing::make_draft("workspace.patch_collected"),
                     testing::make_draft("sandbox.destroyed")};
      if (with_checkpoint) ending.checkpoint = checkpoint(claim->run);
      base::value_or_throw(begin_close(tx, claim->fence(), ending, context()));
      auto run = base::value_or_throw(finish_close(tx, claim->fence(), {}, context(), rules_));
      base::value_or_throw(retire_attempt(tx, claim->fence()));
      return run;
    });
  }
  static store::Checkpoint checkpoint(const model::Run& run) {
    store::Checkpoint made;
    made.key = "runs/" + run.id.str() + "/checkpoint/000001.tar.zst";
    made.size_bytes = 77;
    made.sha256 = std::string(64, 'c');
    made.thread_id = "thread_1";
    return made;
  }
  base::Result<Continued> say(ContinueRequest request) {
    if (request.run.empty()) request.run = first_;
    auto continued =
        db_.write([&](store::Transaction& tx) { return continue_run(tx, request, context(), rules_); });
    if (continued) latest_ = continued->run.id;
    return continued;
  }
  base::Result<Continued> say(std::string message) { return say(ContinueRequest{{}, std::move(message)}); }
  base::Result<ClosedConversation> close() {
    return db_.write([&](store::Transaction& tx) { return close_conversation(tx, latest_, context()); });
  }
  Turns listed(const model::RunId& run) {
    return base::value_or_throw(db_.read([&](store::Reader& reader) { return turns(reader, run); }));
  }
  store::Conversation conversation() {
    return *db_.read([&](store::Reader& reader) { return reader.conversation(first_); });
  }
  model::RunStatus status() {
    return db_.read([&](store::Reader& reader) { return reader.run(latest_); })->status;
  }
  std::vector<store::Conversation> due() {
    return db_.read(
        [&](store::Reader& reader) { return reader.conversations_to_reclaim(db_.clock.now(), 10); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  ConversationRules rules_;
  model::RunId first_;
  model::RunId latest_;
};

TEST_F(Conversations, BeginWithTheFirstRunAndHaveASessionWithItsEnd) {
  create();
  EXPECT_EQ(conversation().created_at, db_.clock.now());
  EXPECT_FALSE(conversation().session_id);
  EXPECT_EQ(conversation().expires_at, store::never);
  db_.clock.advance(5s);
  const auto ended = end();
  ASSERT_TRUE(ended.session_id);
  EXPECT_EQ(conversation().session_id, ended.session_id);
  EXPECT_EQ(conversation().expires_at, db_.clock.now() + 10min);
}

TEST_F(Conversations, AFollowUpTurnInheritsEverythingButMetadata) {
  NewRun request;
  request.runtime = {model::RuntimeKind::codex, "read_only", "gpt-5.5"};
  request.approval_mode = model::ApprovalMode::manual;
  request.workspace = {.kind = model::WorkspaceKind::git, .tree = "t1", .commit = "c1"};
  request.priority = 2;
  request.tags = {{"env", "prod"}, {"team", "a"}};
  request.approval_timeout = 90s;
  create(request);
  const auto first = end();
  db_.clock.advance(1s);
  const auto continued = say("now a garden");
  ASSERT_TRUE(continued);
  const auto run = *db_.read([&](store::Reader& reader) { return reader.run(continued->run.id); });
  EXPECT_NE(run.id, first_);
  EXPECT_EQ(run.status, model::RunStatus::queued);
  EXPECT_EQ(run.conversation_id, first_);
  EXPECT_EQ(run.turn_number, 2);
  EXPECT_TRUE(base::is_prefixed_uuid(run.turn_id, "turn_"));
  EXPECT_EQ(run.session_id, first.session_id);
  EXPECT_EQ(run.task, "now a garden");
  EXPECT_EQ(run.input,
            R"({"task":"now a garden","runtime":{"kind":"codex","mode":"read_only","model":"gpt-5.5"}})");
  EXPECT_EQ(run.approval_mode, model::ApprovalMode::manual);
  EXPECT_EQ(run.workspace, request.workspace);
  EXPECT_EQ(run.priority, 2);
  EXPECT_EQ(run.tags, request.tags);
  EXPECT_EQ(run.approval_timeout, 90s);
  EXPECT_EQ(run.queued_at, db_.clock.now());
  EXPECT_EQ(run.last_event_seq, 0);
  EXPECT_EQ(run.to_wire(), continued->run.to_wire());
}

TEST_F(Conversations, ALaterTurnInheritsHowItsRunIsCarriedOut) {
  NewRun request;
  request.input = R"({"task":"t","metadata":{},"waitForQuota":true,"mcp":["notes"]})";
  create(request);
  (void)end();
  const auto continued = say("more");
  ASSERT_TRUE(continued);
  EXPECT_EQ(
      continued->run.input,
      R"({"task":"more","runtime":{"kind":"codex","mode":"default"},"waitForQuota":true,"mcp":["notes"]})");
}

TEST_F(Conversations, AnyRunOfAConversationResolvesItAndTurnsCountUp) {
  create();
  end();
  const auto second = say("two")->run.id;
  end();
  const auto third = say({second, "three"});
  ASSERT_TRUE(third);
  EXPECT_EQ(third->run.turn_number, 3);
  EXPECT_EQ(third->run.conversation_id, first_);
  for (const auto& id : {first_, second, third->run.id}) {
    const auto all = listed(id);
    EXPECT_EQ(all.conversation_id, first_);
    ASSERT_EQ(all.items.size(), 3u);
    EXPECT_EQ(all.items[1].run_id, second);
    EXPECT_EQ(all.items[2].prompt, "three");
    EXPECT_EQ(all.items[2].turn_number, 3);
  }
}

TEST_F(Conversations, TurnsShowTheRunItselfUntilThereIsASession) {
  NewRun request;
  request.task = std::string(600, 'x');
  create(request);
  const auto before = listed(first_);
  ASSERT_EQ(before.items.size(), 1u);
  EXPECT_EQ(before.items[0].id, first_.str());
  EXPECT_EQ(before.items[0].prompt, std::string(500, 'x'));
  EXPECT_EQ(before.items[0].created_at, db_.clock.now());
  end();
  const auto after = listed(first_);
  EXPECT_TRUE(base::is_prefixed_uuid(after.items[0].id, "turn_"));
  EXPECT_EQ(after.items[0].prompt, request.task);
  EXPECT_EQ(after.to_wire(), R"({"conversationId":")" + first_.str() + R"(","items":[{"id":")" +
                                 after.items[0].id + R"(","runId":")" + first_.str() +
                                 R"(","turnNumber":1,"prompt":")" + request.task + R"(","createdAt":")" +
                                 base::to_iso(db_.clock.now()) + R"("}]})");
}

TEST_F(Conversations, HaveOneActiveTurnAtMost) {
  create();
  EXPECT_EQ(say("early").error().reason, "run_busy");
  end();
  ASSERT_TRUE(say("two"));
  EXPECT_EQ(say("three").error().reason, "run_busy");
  EXPECT_EQ(say("three").error().code, base::Code::conflict);
  end();
  EXPECT_TRUE(say("three"));
}

TEST_F(Conversations, GoOnAfterAFailedOrCancelledTurn) {
  create();
  end(model::RunStatus::failed, false);
  ASSERT_TRUE(say("again"));
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(cancel_run(tx, latest_, context()));
    base::value_or_throw(settle_cancelled(tx, latest_, context(), rules_));
  });
  EXPECT_TRUE(say("and again"));
}

TEST_F(Conversations, ACancelledOrFailedQueuedRunHasASessionToo) {
  create();
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(cancel_run(tx, first_, context()));
    base::value_or_throw(settle_cancelled(tx, first_, context(), rules_));
  });
  EXPECT_TRUE(conversation().session_id);
  EXPECT_TRUE(say("go on"));
  create();
  db_.write([&](store::Transaction& tx) {
    auto left = tx.queued_runs(1).front();
    base::value_or_throw(fail_queued_run(tx, left, {"agent_missing", "no codex", ""}, context(), rules_));
    base::value_or_throw(fail_queued_run(tx, first_, {"agent_missing", "no codex", ""}, context(), rules_));
  });
  EXPECT_TRUE(conversation().session_id);
  EXPECT_TRUE(close()->reclaimed);
}

TEST_F(Conversations, AReviewIsNotContinued) {
  NewRun request;
  request.runtime.mode = "auto_review";
  create(request);
  EXPECT_EQ(say("more").error().reason, "run_not_continuable");
  end();
  EXPECT_EQ(say("more").error().reason, "run_not_continuable");
  EXPECT_EQ(listed(first_).items.size(), 1u);
}

TEST_F(Conversations, ClaudeCodeIsContinued) {
  NewRun request;
  request.runtime = {model::RuntimeKind::claude_code, "acceptEdits", std::nullopt};
  create(request);
  end();
  EXPECT_EQ(say("more")->run.runtime.mode, "acceptEdits");
}

TEST_F(Conversations, UnknownRunsAreNotFound) {
  const model::RunId unknown("run_x");
  EXPECT_EQ(say({unknown, "hello"}).error().reason, "run_not_found");
  EXPECT_EQ(db_.read([&](store::Reader& reader) { return turns(reader, unknown); }).error().reason,
            "run_not_found");
  latest_ = unknown;
  EXPECT_EQ(close().error().reason, "run_not_found");
}

TEST_F(Conversations, TheApprovalModeMayOnlyBeTightened) {
  create();
  end();
  ContinueRequest request{first_, "carefully", model::ApprovalMode::manual};
  EXPECT_EQ(say(request)->run.approval_mode, model::ApprovalMode::manual);
  end();
  request.approval_mode = model::ApprovalMode::automatic;
  const auto refused = say(request);
  EXPECT_EQ(refused.error().code, base::Code::invalid);
  EXPECT_EQ(refused.error().reason, "validation_error");
  EXPECT_THAT(refused.error().details, ::testing::HasSubstr(R"("path":["approvalMode"])"));
  EXPECT_EQ(say("inherits")->run.approval_mode, model::ApprovalMode::manual);
  end();
  request.approval_mode = model::ApprovalMode::block;
  EXPECT_EQ(say(request)->run.approval_mode, model::ApprovalMode::block);
}

TEST_F(Conversations, ThePublishedRuleDropsTheApprovalModeOfLaterTurns) {
  rules_.published_turn2 = true;
  NewRun request;
  request.approval_mode = model::ApprovalMode::manual;
  create(request);
  end();
  EXPECT_EQ(say("two")->run.approval_mode, model::ApprovalMode::automatic);
  end();
  EXPECT_EQ(say({first_, "three", model::ApprovalMode::manual})->run.approval_mode,
            model::ApprovalMode::manual);
}

TEST_F(Conversations, ExpireAfterTheGraceOfAFirstRunAndTheIdleTimeOfALaterTurn) {
  rules_.one_shot_grace = 3min;
  rules_.idle_ttl = 7min;
  create();
  end();
  db_.clock.advance(3min - 1ms);
  ASSERT_TRUE(say("just in time"));
  EXPECT_EQ(conversation().expires_at, store::never);
  EXPECT_TRUE(due().empty());
  db_.clock.advance(24h);
  end();
  EXPECT_EQ(conversation().expires_at, db_.clock.now() + 7min);
  EXPECT_EQ(db_.read([](store::Reader& reader) { return reader.next_conversation_expiry(); }),
            db_.clock.now() + 7min);
  db_.clock.advance(7min);
  EXPECT_EQ(say("too late").error().reason, "session_closed");
  EXPECT_EQ(due().size(), 1u);
}

TEST_F(Conversations, ClosingIsFinalAndIdempotent) {
  create();
  end();
  const auto closed = close();
  ASSERT_TRUE(closed);
  EXPECT_EQ(closed->to_wire(),
            R"({"closed":true,"conversationId":")" + first_.str() + R"(","reclaimed":true})");
  const auto at = conversation().closed_at;
  EXPECT_EQ(at, db_.clock.now());
  EXPECT_EQ(conversation().expires_at, db_.clock.now());
  db_.clock.advance(1s);
  EXPECT_EQ(close()->to_wire(), closed->to_wire());
  EXPECT_EQ(conversation().closed_at, at);
  EXPECT_EQ(say("hello?").error().reason, "session_closed");
}

TEST_F(Conversations, ClosingCancelsAQueuedFirstRunAndTakesNoOther) {
  create();
  const auto closed = close();
  EXPECT_EQ(closed->to_wire(),
            R"({"closed":true,"conversationId":")" + first_.str() + R"(","reclaimed":false})");
  EXPECT_EQ(status(), model::RunStatus::cancelling);
  EXPECT_TRUE(due().empty());
  EXPECT_EQ(say("more").error().reason, "session_closed");
  db_.write(
      [&](store::Transaction& tx) { base::value_or_throw(settle_cancelled(tx, first_, context(), rules_)); });
  EXPECT_EQ(say("more").error().reason, "session_closed");
  EXPECT_TRUE(close()->reclaimed);
  EXPECT_EQ(status(), model::RunStatus::cancelled);
  EXPECT_EQ(due().size(), 1u);
}

TEST_F(Conversations, ClosingCancelsALaterTurnAndKeepsItsStateUntilThatHasEnded) {
  create();
  end();
  ASSERT_TRUE(say("two"));
  const auto claim =
      *db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); });
  EXPECT_TRUE(close()->reclaimed);
  EXPECT_EQ(status(), model::RunStatus::cancelling);
  db_.clock.advance(24h);
  EXPECT_TRUE(close()->reclaimed);
  EXPECT_TRUE(due().empty());
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(begin_close(tx, claim.fence(), {.status = model::RunStatus::completed}, context()));
    base::value_or_throw(finish_close(tx, claim.fence(), {}, context(), rules_));
  });
  EXPECT_EQ(status(), model::RunStatus::cancelled);
  EXPECT_EQ(due().size(), 1u);
}

TEST_F(Conversations, ClosingATurnWhoseEndIsDecidedDoesNotChangeIt) {
  create();
  db_.write([&](store::Transaction& tx) {
    const auto claim = *claim_run(tx, {"worker_1"}, context());
    base::value_or_throw(begin_close(tx, claim.fence(), {.status = model::RunStatus::completed}, context()));
    base::value_or_throw(close_conversation(tx, first_, context()));
    base::value_or_throw(finish_close(tx, claim.fence(), {}, context(), rules_));
  });
  EXPECT_EQ(status(), model::RunStatus::completed);
  EXPECT_EQ(due().size(), 1u);
}

TEST_F(Conversations, ACheckpointIsKeptWithItsEventBeforeTheSandboxIsGone) {
  create();
  end();
  const auto kept = db_.read([&](store::Reader& reader) { return reader.latest_checkpoint(first_, 2); });
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->run_id, first_);
  EXPECT_EQ(kept->conversation_id, first_);
  EXPECT_EQ(kept->turn_number, 1);
  EXPECT_EQ(kept->thread_id, "thread_1");
  EXPECT_EQ(kept->created_at, db_.clock.now());
  std::vector<std::string> types;
  for (const auto& event : db_.read([&](store::Reader& reader) { return reader.events(first_, 0, 50); })) {
    types.push_back(event.type);
    if (event.type == "checkpoint.created") {
      EXPECT_THAT(event.payload,
                  ::testing::MatchesRegex(
                      R"(\{"checkpointId":"checkpoint_.*","bytes":77,"sha256":"c*","turnNumber":1\})"));
    }
  }
  EXPECT_THAT(types, ElementsAre("run.claimed", "workspace.patch_collected", "checkpoint.created",
                                 "sandbox.destroyed", "run.completed"));
  EXPECT_EQ(db_.read([&](store::Reader& reader) { return reader.artifacts(first_); }).size(), 2u);
}

TEST_F(Conversations, TheNewestCheckpointBeforeATurnIsFoundAlsoWhenATurnLeftNone) {
  create();
  end();
  say("two");
  end(model::RunStatus::failed, false);
  say("three");
  end();
  const auto before = [&](int turn) {
    const auto found =
        db_.read([&](store::Reader& reader) { return reader.latest_checkpoint(first_, turn); });
    return found ? found->turn_number : 0;
  };
  EXPECT_EQ(before(1), 0);
  EXPECT_EQ(before(2), 1);
  EXPECT_EQ(before(3), 1);
  EXPECT_EQ(before(4), 3);
}

TEST_F(Conversations, ReclaimingClosesThenForgets) {
  create();
  end();
  const auto begin = [&] {
    return db_.write([&](store::Transaction& tx) { return begin_reclaim(tx, first_, context()); });
  };
  const auto finish = [&] {
    return db_.write([&](store::Transaction& tx) { return reclaim(tx, first_, context()); });
  };
  EXPECT_EQ(begin().error().reason, "conversation_in_use");
  EXPECT_EQ(finish().error().reason, "conversation_in_use");
  db_.clock.advance(10min);
  for (int i = 0; i < 2; ++i) {
    const auto checkpoints = begin();
    ASSERT_TRUE(checkpoints);
    ASSERT_EQ(checkpoints->size(), 1u);
    EXPECT_EQ(checkpoints->front().run_id, first_);
    EXPECT_EQ(conversation().state, store::ConversationState::closed);
    EXPECT_EQ(due().size(), 1u);
  }
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(finish());
    EXPECT_TRUE(conversation().reclaimed);
    EXPECT_TRUE(due().empty());
    EXPECT_TRUE(begin()->empty());
  }
  EXPECT_FALSE(db_.read([](store::Reader& reader) { return reader.next_conversation_expiry(); }));
  EXPECT_EQ(say("hello?").error().reason, "session_closed");
  EXPECT_TRUE(close()->reclaimed);
  first_ = model::RunId("run_x");
  EXPECT_EQ(begin().error().reason, "conversation_not_found");
}

TEST_F(Conversations, AMessageWithAKeyIsSaidOnce) {
  create();
  end();
  const ContinueRequest request{first_, "two", std::nullopt, "key"};
  const auto made = say(request);
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->replayed);
  end();
  close();
  const auto again = say(request);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->run.id, made->run.id);
  EXPECT_EQ(again->run.turn_number, 2);
  EXPECT_EQ(say({first_, "else", std::nullopt, "key"}).error().reason, "idempotency_conflict");
  // Another route target is another key.
  EXPECT_EQ(say({made->run.id, "two", std::nullopt, "key"}).error().reason, "session_closed");
  EXPECT_EQ(listed(first_).items.size(), 2u);
}

TEST_F(Conversations, ManyConcurrentMessagesMakeOneTurn) {
  create();
  end();
  const auto use = [](testing::StoreFixture& db, const ContinueRequest& request, int& made, int& replayed,
                      int& busy) -> base::Task<void> {
    const auto continued = co_await db.store().write(
        [&](store::Transaction& tx) { return continue_run(tx, request, {db.clock, db.entropy}); });
    ++(!continued ? busy : continued->replayed ? replayed : made);
  };
  const ContinueRequest keyed{first_, "two", std::nullopt, "key"};
  const ContinueRequest other{first_, "two"};
  int made = 0;
  int replayed = 0;
  int busy = 0;
  for (int i = 0; i < 300; ++i) {
    asio::co_spawn(db_.io().get_executor(),
                   use(db_, i == 0 || i % 2 == 1 ? keyed : other, made, replayed, busy),
                   [](std::exception_ptr error) { EXPECT_FALSE(error); });
  }
  db_.io().restart();
  db_.io().run();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(replayed, 150);
  EXPECT_EQ(busy, 149);
  EXPECT_EQ(listed(first_).items.size(), 2u);
}

}  // namespace

}  // namespace agentrouter::runs
