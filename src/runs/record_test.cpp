#include "runs/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/approvals.h"
#include "runs/cancel.h"
#include "runs/close.h"
#include "runs/create.h"
#include "runs/decide.h"
#include "runs/journal_commit.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

// One run that waits, works and ends, and its record at each point.
class Record : public ::testing::Test {
 protected:
  void SetUp() override {
    NewRun request;
    request.task = "build";
    request.input = R"({"task":"build"})";
    request.approval_mode = model::ApprovalMode::manual;
    request.approval_timeout = 60s;
    id_ = db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
  }
  RunRecord record() {
    return base::value_or_throw(
        db_.read([&](store::Reader& reader) { return run_record(reader, id_, db_.clock.now()); }));
  }
  void claim() {
    fence_ =
        db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); })->fence();
  }
  static model::EventDraft control(std::string_view type, std::string_view more = "",
                                   std::string_view action = "action_1") {
    return testing::make_draft(type, R"({"actionId":")" + std::string(action) +
                                         R"(","actionDigest":"sha256:d","argsDigest":"sha256:a")" +
                                         std::string(more) + "}");
  }
  void journal(std::vector<model::EventDraft> events, bool asks = false) {
    JournalBatch batch;
    batch.from_offset = offset_;
    batch.to_offset = ++offset_;
    batch.events = std::move(events);
    if (asks)
      batch.questions = {{model::ActionId("action_1"), "sha256:d", "sha256:a", "approval_1", "evt_asked"}};
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence_, batch, context()); }));
  }
  void ask() {
    journal({control("action.proposed", R"(,"actionName":"codex.launch","targetResource":"workspace")"),
             control("policy.evaluated", R"(,"decision":"requires_approval","reason":"manual")"),
             control("approval.requested")},
            true);
  }
  void decide(Decision decision) {
    base::value_or_throw(db_.write([&](store::Transaction& tx) {
      return decide_action(tx, {id_, model::ActionId("action_1"), "sha256:d", decision, "go on"}, context());
    }));
  }
  void begin_end(model::RunStatus status) {
    Ending ending;
    ending.status = status;
    auto patch = model::named_artifact(id_, "workspace_patch");
    ending.artifacts = {patch};
    auto collected = testing::make_draft("workspace.patch_collected", R"({"bytes":345})");
    collected.artifact_ref = patch.ref();
    ending.tail = {testing::make_draft("usage.recorded", R"({"inputTokens":12,"costUsd":0.5})"),
                   testing::make_draft("workspace.file_index_collected", R"({"fileCount":4})"), collected};
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return begin_close(tx, fence_, ending, context()); }));
  }
  void finish_end() {
    base::value_or_throw(
        db_.write([&](store::Transaction& tx) { return finish_close(tx, fence_, {}, context()); }));
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  model::RunId id_;
  Fence fence_;
  std::int64_t offset_ = 0;
};

TEST_F(Record, OfAQueuedRunShowsThatNothingHasHappened) {
  const auto queued = record();
  EXPECT_EQ(queued.phase.name, "queued");
  EXPECT_FALSE(queued.attempt);
  EXPECT_THAT(queued.operations, ElementsAre("cancel", "close"));
  EXPECT_EQ(queued.to_wire(),
            R"({"run":)" + queued.run.to_wire() +
                R"(,"runtime":{"kind":"codex","mode":"default"},"state":"queued","phase":"queued",)"
                R"("approvalMode":"manual","approvalScope":"run","workspace":{"kind":"scratch"},"attempt":null,"isolation":null,"usage":null,)"
                R"("limits":{"approvalTimeoutSeconds":60},"actions":[],"hasOlderActions":false,)"
                R"("pendingApprovals":[],"patch":null,"artifacts":{"items":[]},)"
                R"("eventCursor":{"lastEventSeq":0},"conversation":{"id":")" +
                id_.str() +
                R"(","sessionId":null,"state":"open","turnNumber":1,"turns":1,"reclaimed":false},)"
                R"("compat":{"publishedTurn2":false},"operations":["cancel","close"]})");
}

TEST_F(Record, TellsWhatTheRunWorksOn) {
  db_.write([&](store::Transaction& tx) {
    auto run = tx.run(id_);
    run->workspace = {
        .kind = model::WorkspaceKind::git, .git = {.url = "https://example.test/a"}, .commit = "c"};
    tx.update_run(*run);
  });
  EXPECT_THAT(record().to_wire(),
              HasSubstr(R"("workspace":{"kind":"git","git":{"url":"https://example.test/a"},"commit":"c"})"));
}

TEST_F(Record, AWaitForTheProvidersLimitIsAPhaseWithItsEnd) {
  claim();
  journal({control("execution.started")});
  const auto waiting = testing::make_draft(
      "run.waiting", R"({"reason":"provider_rate_limited","resumesAt":"2026-11-29T12:00:00.000Z"})");
  journal({waiting, testing::make_draft("egress.request", "{}")});
  EXPECT_EQ(record().phase.name, "waiting_quota");
  EXPECT_THAT(record().operations, ElementsAre("cancel", "close"));
  EXPECT_THAT(record().to_wire(),
              HasSubstr(R"("phase":"waiting_quota","waiting":{"reason":"provider_rate_limited",)"
                        R"("resumesAt":"2026-11-29T12:00:00.000Z"},)"));
  journal({testing::make_draft("run.resumed", R"({"waitedMs":1})")});
  EXPECT_EQ(record().phase.name, "running");
  EXPECT_FALSE(record().waiting);
  journal({waiting});
  EXPECT_EQ(record().phase.name, "waiting_quota");
  begin_end(model::RunStatus::completed);
  EXPECT_EQ(record().phase.name, "closing");
  EXPECT_FALSE(record().waiting);
}

TEST_F(Record, FollowsTheRunThroughItsPhases) {
  claim();
  EXPECT_EQ(record().phase.name, "preparing");
  EXPECT_EQ(record().attempt->worker_id, "worker_1");
  ask();
  EXPECT_EQ(record().phase.name, "waiting_for_approval");
  EXPECT_THAT(record().operations, ElementsAre("cancel", "approve", "deny", "close"));
  decide(Decision::approved);
  EXPECT_EQ(record().phase.name, "preparing");
  journal({control("execution.started")});
  EXPECT_EQ(record().phase.name, "running");
  EXPECT_THAT(record().operations, ElementsAre("cancel", "close"));
  begin_end(model::RunStatus::completed);
  EXPECT_EQ(record().phase.name, "closing");
  EXPECT_THAT(record().operations, ElementsAre("close"));
  finish_end();
  EXPECT_EQ(record().phase.name, "ended");
  EXPECT_THAT(record().operations, ElementsAre("continue", "close"));
  EXPECT_THAT(record().to_wire(), HasSubstr(R"("attempt":{"id":"attempt_)"));
}

TEST_F(Record, ACancellingRunIsClosing) {
  claim();
  ask();
  base::value_or_throw(db_.write([&](store::Transaction& tx) { return cancel_run(tx, id_, context()); }));
  EXPECT_EQ(record().phase.name, "closing");
  EXPECT_THAT(record().operations, ElementsAre("close"));
}

TEST_F(Record, AnActionShowsPolicyApprovalAndExecution) {
  claim();
  ask();
  EXPECT_THAT(
      record().to_wire(),
      HasSubstr(R"("actions":[{"actionId":"action_1","actionDigest":"sha256:d","argsDigest":"sha256:a",)"
                R"("name":"codex.launch","target":"workspace","proposedSequence":2,)"
                R"("policy":{"decision":"requires_approval","reason":"manual","sequence":3},)"
                R"("approval":{"state":"pending","requestedSequence":4},"execution":null}])"));
  EXPECT_THAT(record().to_wire(),
              HasSubstr(R"("pendingApprovals":[{"actionId":"action_1","actionDigest":"sha256:d",)"
                        R"("requestId":"approval_1","expiresAt":")" +
                        base::to_iso(db_.clock.now() + 60s) + R"("}])"));
  decide(Decision::approved);
  journal({control("execution.started"), control("execution.failed", R"(,"exitCode":3,"reason":"broke")")});
  EXPECT_THAT(record().to_wire(),
              HasSubstr(R"("approval":{"state":"approved","requestedSequence":4,"settledSequence":5,)"
                        R"("reason":"go on"},"execution":{"status":"failed","startedSequence":6,)"
                        R"("endedSequence":7,"exitCode":3,"reason":"broke"})"));
  EXPECT_TRUE(record().pending.empty());
}

TEST_F(Record, ADeniedOrExpiredQuestionIsShownAsSuch) {
  claim();
  ask();
  decide(Decision::denied);
  EXPECT_EQ(record().actions[0].approval, "denied");
  SetUp();
  claim();
  offset_ = 0;
  ask();
  db_.clock.advance(60s);
  base::value_or_throw(db_.write([&](store::Transaction& tx) {
    return expire_approval(tx, fence_, model::ActionId("action_1"), context());
  }));
  EXPECT_EQ(record().actions[0].approval, "expired");
  EXPECT_EQ(record().actions[0].approval_reason, "approval_timeout");
}

TEST_F(Record, TheEndLeavesUsagePatchAndArtifacts) {
  claim();
  begin_end(model::RunStatus::completed);
  finish_end();
  const auto wire = record().to_wire();
  EXPECT_THAT(wire, HasSubstr(R"("usage":{"inputTokens":12,"costUsd":0.5})"));
  EXPECT_THAT(wire, HasSubstr(R"("patch":{"artifactId":"artifact_)"));
  EXPECT_THAT(wire, HasSubstr(R"("bytes":345,"fileCount":4})"));
  EXPECT_EQ(record().artifacts.size(), 3u);
  EXPECT_THAT(wire, HasSubstr(R"("eventCursor":{"lastEventSeq":5})"));
}

TEST_F(Record, ShowsTheNewestActionsAndSaysWhenThereAreOlder) {
  claim();
  std::vector<model::EventDraft> events;
  for (int i = 0; i < record_actions; ++i)
    events.push_back(control("action.proposed", "", "action_" + std::to_string(i)));
  journal(std::move(events));
  EXPECT_EQ(record().actions.size(), 100u);
  EXPECT_FALSE(record().has_older_actions);
  journal({control("action.proposed", "", "action_last")});
  const auto full = record();
  ASSERT_EQ(full.actions.size(), 100u);
  EXPECT_TRUE(full.has_older_actions);
  EXPECT_EQ(full.actions.front().action_id.str(), "action_1");
  EXPECT_EQ(full.actions.back().action_id.str(), "action_last");
}

TEST_F(Record, AnEarlierTurnShowsThatALaterOneIsActive) {
  claim();
  begin_end(model::RunStatus::failed);
  finish_end();
  base::value_or_throw(
      db_.write([&](store::Transaction& tx) { return continue_run(tx, {id_, "more"}, context()); }));
  EXPECT_EQ(record().turns, 2);
  EXPECT_THAT(record().operations, ElementsAre("close"));
}

TEST_F(Record, ClosedAndExpiredConversationsOfferNothing) {
  claim();
  begin_end(model::RunStatus::completed);
  finish_end();
  db_.clock.advance(10min);
  EXPECT_EQ(record().conversation_state, "expired");
  EXPECT_TRUE(record().operations.empty());
  base::value_or_throw(
      db_.write([&](store::Transaction& tx) { return close_conversation(tx, id_, context()); }));
  EXPECT_EQ(record().conversation_state, "closed");
  EXPECT_TRUE(record().operations.empty());
  EXPECT_THAT(record().to_wire(), HasSubstr(R"("closedAt":")" + base::to_iso(db_.clock.now()) + "\""));
}

TEST_F(Record, AReviewIsNotOfferedToBeContinued) {
  NewRun request;
  request.runtime.mode = "auto_review";
  request.input = "{}";
  db_.write([&](store::Transaction& tx) {
    base::value_or_throw(fail_queued_run(tx, id_, {"agent_missing", "none", ""}, context()));
  });
  id_ = db_.write([&](store::Transaction& tx) { return create_run(tx, request, context()); })->run.id;
  claim();
  begin_end(model::RunStatus::completed);
  finish_end();
  EXPECT_THAT(record().operations, ElementsAre("close"));
}

TEST_F(Record, AnUnknownRunIsNotFound) {
  const auto unknown = db_.read(
      [&](store::Reader& reader) { return run_record(reader, model::RunId("run_x"), db_.clock.now()); });
  EXPECT_EQ(unknown.error().reason, "run_not_found");
}

}  // namespace

}  // namespace agentrouter::runs
