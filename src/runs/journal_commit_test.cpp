#include "runs/journal_commit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/approvals.h"
#include "runs/cancel.h"
#include "runs/decide.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One claimed run whose journal is copied, and the decisions about its actions.
class JournalCommit : public ::testing::Test {
 protected:
  void SetUp() override {
    db_.write([](store::Transaction& tx) { tx.insert_run(testing::make_run("a")); });
    const auto claimed =
        db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); });
    fence_ = claimed->fence();
  }
  static JournalBatch batch(std::int64_t from, std::int64_t to, std::vector<std::string> types = {}) {
    JournalBatch made;
    made.from_offset = from;
    made.to_offset = to;
    for (const auto& type : types) made.events.push_back(testing::make_draft(type));
    return made;
  }
  static JournalBatch question(std::int64_t from, std::string action = "action_1") {
    auto asked = batch(from, from + 10, {"approval.requested"});
    asked.questions.push_back(
        {model::ActionId(action), "sha256:digest", "sha256:args", "approval_9", "evt_asked"});
    return asked;
  }
  static JournalBatch answer(std::int64_t from, Answer::Kind kind) {
    auto answered = batch(from, from + 10);
    answered.answers.push_back({kind, model::ActionId("action_1"), "the agent took it back"});
    return answered;
  }
  base::Result<std::int64_t> commit(const JournalBatch& batch) {
    return db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence_, batch, context()); });
  }
  base::Result<model::Event> decide(Decision decision, std::string reason = "",
                                    std::string digest = "sha256:digest", std::string action = "action_1") {
    return db_.write([&](store::Transaction& tx) {
      return decide_action(tx, {testing::run_id("a"), model::ActionId(action), digest, decision, reason},
                           context());
    });
  }
  std::string refusal(Decision decision, std::string digest = "sha256:digest",
                      std::string action = "action_1") {
    const auto decided = decide(decision, "", digest, action);
    return decided ? "accepted" : decided.error().reason;
  }
  std::vector<std::string> types() {
    std::vector<std::string> all;
    const auto page =
        db_.read([](store::Reader& reader) { return reader.events(testing::run_id("a"), 0, 100); });
    for (const auto& event : page) all.push_back(event.type);
    return all;
  }
  model::RunStatus status() {
    return db_.read([](store::Reader& reader) { return reader.run(testing::run_id("a")); })->status;
  }
  store::Approval approval() {
    return *db_.read([](store::Reader& reader) {
      return reader.approval(testing::run_id("a"), model::ActionId("action_1"));
    });
  }
  std::size_t undelivered() {
    return db_.read(
        [](store::Reader& reader) { return reader.undelivered_approvals(testing::run_id("a")).size(); });
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  Fence fence_;
};

TEST_F(JournalCommit, EventsAndOffsetMoveTogether) {
  EXPECT_EQ(*commit(batch(0, 100, {"sandbox.created", "action.proposed"})), 100);
  EXPECT_EQ(*commit(batch(100, 150, {"policy.evaluated"})), 150);
  db_.reopen();
  EXPECT_THAT(types(), ElementsAre("run.claimed", "sandbox.created", "action.proposed", "policy.evaluated"));
  EXPECT_EQ(db_.read([&](store::Reader& reader) { return reader.attempt(fence_.attempt); })->journal_offset,
            150);
}

TEST_F(JournalCommit, ARepeatedBatchChangesNothing) {
  const auto once = batch(0, 100, {"sandbox.created"});
  ASSERT_TRUE(commit(once));
  EXPECT_EQ(*commit(once), 100);
  EXPECT_THAT(types(), ElementsAre("run.claimed", "sandbox.created"));
}

TEST_F(JournalCommit, AGapIsRefusedAndSaysWhereToReadFrom) {
  ASSERT_TRUE(commit(batch(0, 100)));
  for (const auto from : {90, 110}) {
    const auto refused = commit(batch(from, 200, {"agent.message"}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, "journal_gap");
    EXPECT_EQ(refused.error().details, R"({"offset":100})");
  }
  EXPECT_THAT(types(), ElementsAre("run.claimed"));
}

TEST_F(JournalCommit, AnOldTokenWritesNothing) {
  const Fence old = fence_;
  const auto taken = db_.write([&](store::Transaction& tx) {
    return take_over(tx, old.attempt, {"worker_2"}, std::nullopt, context());
  });
  ASSERT_TRUE(taken);
  EXPECT_EQ(commit(batch(0, 100, {"agent.message"})).error().reason, "lease_lost");
  EXPECT_THAT(types(), ElementsAre("run.claimed"));
}

TEST_F(JournalCommit, ExecutionStartedMakesTheRunRunning) {
  ASSERT_TRUE(commit(batch(0, 1, {"sandbox.created"})));
  EXPECT_EQ(status(), model::RunStatus::starting);
  ASSERT_TRUE(commit(batch(1, 2, {"execution.started"})));
  EXPECT_EQ(status(), model::RunStatus::running);
}

TEST_F(JournalCommit, ACancellingRunStaysCancelling) {
  ASSERT_TRUE(
      db_.write([&](store::Transaction& tx) { return cancel_run(tx, testing::run_id("a"), context()); }));
  ASSERT_TRUE(commit(batch(0, 2, {"execution.started"})));
  EXPECT_EQ(status(), model::RunStatus::cancelling);
}

TEST_F(JournalCommit, ArtifactsOfItsEventsComeWithThem) {
  auto with = batch(0, 1, {"agent.message"});
  with.artifacts.push_back(model::named_artifact(testing::run_id("a"), "payload_overflow", "1.json"));
  ASSERT_TRUE(commit(with));
  EXPECT_EQ(db_.read([](store::Reader& reader) { return reader.artifacts(testing::run_id("a")).size(); }),
            1u);
}

TEST_F(JournalCommit, ADecisionIsDeliveredUntilTheJournalAnswers) {
  ASSERT_TRUE(commit(question(0)));
  EXPECT_EQ(approval().state, store::ApprovalState::pending);
  EXPECT_EQ(undelivered(), 0u);
  ASSERT_TRUE(decide(Decision::approved));
  EXPECT_EQ(undelivered(), 1u);
  ASSERT_TRUE(commit(answer(10, Answer::Kind::released)));
  EXPECT_EQ(undelivered(), 0u);
  EXPECT_EQ(approval().state, store::ApprovalState::approved);
}

TEST_F(JournalCommit, ARefusalOfAPendingQuestionWithdrawsIt) {
  ASSERT_TRUE(commit(question(0)));
  ASSERT_TRUE(commit(answer(10, Answer::Kind::refused)));
  EXPECT_EQ(approval().state, store::ApprovalState::withdrawn);
  EXPECT_EQ(types().back(), "approval.withdrawn");
  EXPECT_EQ(refusal(Decision::approved), "approval_not_pending");
}

TEST_F(JournalCommit, AnActionThatNobodyAskedAboutMayBeReleased) {
  EXPECT_TRUE(commit(answer(0, Answer::Kind::released)));
  EXPECT_THAT(types(), ElementsAre("run.claimed"));
}

using DecideAction = JournalCommit;

TEST_F(DecideAction, TheEventSaysWhatWasDecidedAndWhy) {
  ASSERT_TRUE(commit(question(0)));
  const auto event = decide(Decision::denied, "too risky");
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, "approval.decided");
  EXPECT_EQ(event->source, model::EventSource::api);
  EXPECT_EQ(event->visibility, model::Visibility::open);
  const auto payload = json::parse(event->payload).get_object();
  EXPECT_EQ(payload.at("priorEventId"), "evt_asked");
  EXPECT_EQ(payload.at("actionId"), "action_1");
  EXPECT_EQ(payload.at("actionDigest"), "sha256:digest");
  EXPECT_EQ(payload.at("argsDigest"), "sha256:args");
  EXPECT_EQ(payload.at("requestId"), "approval_9");
  EXPECT_EQ(payload.at("actor"), "human");
  EXPECT_EQ(payload.at("decision"), "denied");
  EXPECT_EQ(payload.at("reason"), "too risky");
  EXPECT_EQ(payload.at("terminalState"), "denied");
  EXPECT_TRUE(base::is_prefixed_uuid(payload.at("eventId").get_string(), "evt_"));
  EXPECT_TRUE(base::is_prefixed_uuid(payload.at("decisionId").get_string(), "decision_"));
}

TEST_F(DecideAction, AnApprovalHasNoTerminalStateAndNoEmptyReason) {
  ASSERT_TRUE(commit(question(0)));
  const auto payload = json::parse(decide(Decision::approved)->payload).get_object();
  EXPECT_FALSE(payload.contains("terminalState"));
  EXPECT_FALSE(payload.contains("reason"));
}

TEST_F(DecideAction, ARepeatGivesTheFirstEventWithTheFirstReason) {
  ASSERT_TRUE(commit(question(0)));
  const auto first = decide(Decision::approved, "looks fine");
  const auto again = decide(Decision::approved, "still fine");
  ASSERT_TRUE(first && again);
  EXPECT_EQ(again->to_wire(), first->to_wire());
}

TEST_F(DecideAction, TheOppositeIsRefused) {
  ASSERT_TRUE(commit(question(0)));
  ASSERT_TRUE(decide(Decision::approved));
  EXPECT_EQ(refusal(Decision::denied), "approval_already_decided");
}

TEST_F(DecideAction, UnknownRunsAndActionsAreToldApart) {
  EXPECT_EQ(refusal(Decision::approved), "approval_not_requested");
  const auto unknown = db_.write([&](store::Transaction& tx) {
    return decide_action(tx, {model::RunId("run_x"), model::ActionId("a"), "d", Decision::approved, ""},
                         context());
  });
  EXPECT_EQ(unknown.error().reason, "run_not_found");
  EXPECT_EQ(unknown.error().code, base::Code::not_found);
}

TEST_F(DecideAction, AnotherDigestIsRefusedWithBoth) {
  ASSERT_TRUE(commit(question(0)));
  const auto refused = decide(Decision::approved, "", "sha256:other");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "action_digest_mismatch");
  EXPECT_EQ(refused.error().details, R"({"expected":"sha256:digest","received":"sha256:other"})");
  EXPECT_EQ(approval().state, store::ApprovalState::pending);
}

TEST_F(DecideAction, AnIncompleteQuestionIsRefused) {
  auto asked = question(0);
  asked.questions[0].requested_event_id = "";
  ASSERT_TRUE(commit(asked));
  EXPECT_EQ(refusal(Decision::approved), "invalid_action_event");
}

TEST_F(DecideAction, ACancellingRunTakesNoDecision) {
  ASSERT_TRUE(commit(question(0)));
  ASSERT_TRUE(
      db_.write([&](store::Transaction& tx) { return cancel_run(tx, testing::run_id("a"), context()); }));
  EXPECT_EQ(refusal(Decision::approved), "run_not_active");
}

TEST_F(DecideAction, ExpiryIsVisibleDeliveredAndFinal) {
  ASSERT_TRUE(commit(question(0)));
  const auto expire = [&] {
    return db_.write([&](store::Transaction& tx) {
      return settle_approval(tx, testing::run_id("a"), model::ActionId("action_1"),
                             store::ApprovalState::expired, "nobody answered", context());
    });
  };
  EXPECT_TRUE(expire());
  EXPECT_FALSE(expire());
  EXPECT_EQ(types().back(), "approval.expired");
  EXPECT_EQ(undelivered(), 1u);
  EXPECT_EQ(refusal(Decision::approved), "approval_not_pending");
  const auto event = db_.read([](store::Reader& reader) {
    return reader.last_event_of_type(testing::run_id("a"), "approval.expired");
  });
  EXPECT_THAT(event->payload, HasSubstr(R"("reason":"nobody answered")"));
}

}  // namespace

}  // namespace agentrouter::runs
