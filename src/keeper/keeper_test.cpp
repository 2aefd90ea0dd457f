#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(KeeperTest, TurnThatCompletesTellsItsWholeStoryInOrder) {
  agent({.says = "event agent.started {\"provider\":\"codex\"}\nevent agent.message {\"text\":\"hi\"}\nsay "
                 "all done\n",
         .says_to_stderr = "a warning\nhalf a line"});
  keep();
  ASSERT_TRUE(kept_);
  EXPECT_THAT(kinds(),
              ElementsAre("hello", "sandbox.created", "credential_boundary.verified", "action.proposed",
                          "policy.evaluated", "released", "execution.started", "agent.started",
                          "agent.message", "agent.completed", "execution.completed", "exit"));
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(exit_text(),
              HasSubstr(R"("responseText":"all done","responseEventType":"line","threadId":"thread")"));
  EXPECT_THAT(exit_text(), HasSubstr(R"("usage":{"inputTokens":10,"cachedInputTokens":2,"outputTokens":3)"));
  EXPECT_THAT(exit_text(), HasSubstr(R"("index":{"bytes":12)"));
  EXPECT_THAT(exit_text(), HasSubstr(R"("sandbox":{"limits":"rlimit","isolation":"process","gone":true,"driver":"process"})"));
  EXPECT_EQ(file("index.json"), "{\"files\":[]}");
  EXPECT_EQ(file("changes.patch"), "a patch");
  EXPECT_THAT(file("stdout.ndjson"), HasSubstr("say all done\n"));
  EXPECT_EQ(file("stderr.ndjson"), "{\"text\":\"a warning\"}\n{\"text\":\"half a line\"}\n");
  EXPECT_TRUE(sandbox_->destroyed);
}

TEST_F(KeeperTest, EventsOfTheActionAreLinkedByCauseAndShareItsDigest) {
  agent({.says = "say ok\n"});
  keep();
  std::string before;
  for (const char* type :
       {"action.proposed", "policy.evaluated", "execution.started", "execution.completed"}) {
    const json::object event = payload(type);
    EXPECT_EQ(base::get_string(event, "priorEventId").value_or(""), before) << type;
    EXPECT_EQ(base::get_string(event, "actionDigest"),
              base::get_string(payload("action.proposed"), "actionDigest"));
    before = base::get_string(event, "eventId").value_or("?");
  }
  EXPECT_EQ(base::get_string(payload("execution.started"), "executionId"),
            base::get_string(payload("execution.completed"), "executionId"));
  EXPECT_EQ(base::json_digest(*base::get_object(payload("action.proposed"), "action")),
            base::get_string(payload("action.proposed"), "actionDigest"));
}

TEST_F(KeeperTest, BlockedRunNeverStartsItsAgent) {
  plan_.approval_mode = model::ApprovalMode::block;
  keep();
  EXPECT_THAT(kinds(), ElementsAre("hello", "sandbox.created", "credential_boundary.verified",
                                   "action.proposed", "policy.evaluated", "refused", "exit"));
  EXPECT_EQ(outcome(), "failed policy_denied");
  EXPECT_FALSE(sandbox_->spawned);
}

// Waits for the question and answers it with `change` applied.
base::Task<void> answer(LineSocket socket, const std::filesystem::path& folder, DecisionMessage decision) {
  (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
  const std::string other =
      to_line(ServerMessage(DecisionMessage{"action_other", "x", DecisionKind::denied, ""}));
  bool answered = false;
  for (;;) {
    auto line = co_await socket.read_line();
    if (!line || line->find("\"bye\"") != std::string::npos) break;
    const base::Fd fd(::open((folder / "journal").c_str(), O_RDONLY | O_CLOEXEC));
    const auto slice = base::value_or_throw(read_journal(fd.get(), 0, UINT64_MAX));
    const auto& last = slice.records.back();
    if (last.kind != "question" || answered) continue;
    answered = true;
    if (decision.action_id.empty()) decision.action_id = base::get_string(last.data, "actionId").value_or("");
    if (decision.action_digest.empty())
      decision.action_digest = base::get_string(last.data, "actionDigest").value_or("");
    (void)co_await socket.write(other);
    (void)co_await socket.write(to_line(ServerMessage(decision)));
    (void)co_await socket.write(to_line(ServerMessage(decision)));
  }
  (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
}

TEST_F(KeeperTest, ApprovedLaunchGoesOnFromTheDecision) {
  plan_.approval_mode = model::ApprovalMode::manual;
  agent({.says = "say ok\n"});
  keep([this](LineSocket socket) {
    return answer(std::move(socket), folder_.path(), {"", "", DecisionKind::approved, "evt_decision"});
  });
  EXPECT_THAT(kinds(),
              ElementsAre("hello", "sandbox.created", "credential_boundary.verified", "action.proposed",
                          "policy.evaluated", "approval.requested", "question", "released",
                          "execution.started", "agent.completed", "execution.completed", "exit"));
  EXPECT_EQ(base::get_string(payload("execution.started"), "priorEventId"), "evt_decision");
  EXPECT_EQ(outcome(), "completed");
}

TEST_F(KeeperTest, DeniedExpiredAndMismatchedLaunchesAreRefused) {
  struct Case {
    DecisionMessage decision;
    const char* code;
  };
  for (const Case& one :
       {Case{{"", "", DecisionKind::denied, ""}, "approval_denied"},
        Case{{"", "", DecisionKind::expired, ""}, "approval_expired"},
        Case{{"", "sha256:other", DecisionKind::approved, ""}, "approval_digest_mismatch"}}) {
    std::filesystem::remove(folder_ / "journal");
    plan_.approval_mode = model::ApprovalMode::manual;
    agent({});
    keep([&](LineSocket socket) { return answer(std::move(socket), folder_.path(), one.decision); });
    EXPECT_EQ(outcome(), std::string("failed ") + one.code);
    EXPECT_EQ(kinds().at(kinds().size() - 2), "refused");
    EXPECT_FALSE(sandbox_->spawned);
  }
}

base::Task<void> cancel_when(LineSocket socket, std::string_view kind, const std::filesystem::path& folder) {
  (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
  for (bool sent = false;;) {
    auto line = co_await socket.read_line();
    if (!line || line->find("\"bye\"") != std::string::npos) break;
    const base::Fd fd(::open((folder / "journal").c_str(), O_RDONLY | O_CLOEXEC));
    const auto slice = base::value_or_throw(read_journal(fd.get(), 0, UINT64_MAX));
    for (const auto& record : slice.records) {
      const bool found = record.kind == kind || base::get_string(record.data, "type") == kind;
      if (!found || sent) continue;
      sent = true;
      (void)co_await socket.write(to_line(ServerMessage(CancelMessage{})));
    }
  }
  (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
}

TEST_F(KeeperTest, CancelInterruptsTheAgent) {
  agent({.says = "event agent.started {}\n"});
  keep([this](LineSocket socket) { return cancel_when(std::move(socket), "agent.started", folder_.path()); });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_THAT(sandbox_->heard, ElementsAre("start", "interrupt"));
  EXPECT_EQ(base::get_string(payload("execution.failed"), "reason"), "cancelled");
  EXPECT_EQ(kinds().at(kinds().size() - 3), "agent.error");
}

TEST_F(KeeperTest, AgentThatIgnoresTheInterruptIsKilledAfterTheGrace) {
  agent({.says = "event agent.started {}\n", .obeys_interrupt = false});
  keep([this](LineSocket socket) { return cancel_when(std::move(socket), "agent.started", folder_.path()); });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_THAT(exit_text(), HasSubstr("\"patch\":{\"bytes\":7"));
}

TEST_F(KeeperTest, CancelWhileAPersonIsAskedEndsCancelled) {
  plan_.approval_mode = model::ApprovalMode::manual;
  keep([this](LineSocket socket) { return cancel_when(std::move(socket), "question", folder_.path()); });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_FALSE(sandbox_->spawned);
}

TEST_F(KeeperTest, EveryWayToFailHasItsCodeAndClosesTheExecution) {
  struct Case {
    AgentScript script;
    const char* code;
  };
  plan_.limits.wall_time = 3s;
  plan_.limits.quiet = 300ms;
  for (const Case& one : {Case{{.says = "fail provider_runtime_failed\n"}, "provider_runtime_failed"},
                          Case{{.says = "garbage\n"}, "agent_protocol_error"},
                          Case{{.leaves_at_once = true, .exit_code = 3}, "agent_exited"},
                          Case{{.leaves_at_once = true, .exit_signal = SIGKILL}, "memory_limit"},
                          Case{{.says = "event agent.started {}\n"}, "agent_protocol_error"}}) {
    std::filesystem::remove(folder_ / "journal");
    agent(one.script);
    keep();
    EXPECT_EQ(outcome(), std::string("failed ") + one.code);
    EXPECT_EQ(kinds().at(kinds().size() - 3), "agent.error");
    EXPECT_EQ(kinds().at(kinds().size() - 2), "execution.failed");
    EXPECT_EQ(sandbox_->collections, 1);
  }
}

TEST_F(KeeperTest, ASignalOfTheAdapterIsRecordedOnce) {
  const std::string call =
      "event agent.tool_started {\"callId\":\"1\",\"tool\":\"shell\",\"args\":{\"command\":\"false\"}}\n"
      "event agent.tool_completed {\"callId\":\"1\",\"status\":\"failed\",\"exitCode\":1,\"output\":\"\"}\n";
  agent({.says = call + call + call +
                 "event agent.no_progress {\"provider\":\"codex\",\"signal\":\"repeated_command\"}\n" +
                 "say ok\n"});
  keep();
  EXPECT_EQ(base::get_string(payload("agent.no_progress"), "signal"), "repeated_command");
  const auto all = kinds();
  EXPECT_EQ(std::count(all.begin(), all.end(), "agent.no_progress"), 1);
}

TEST_F(KeeperTest, QuestionsOfTheAgentAreAnsweredByPolicy) {
  agent({.says = "ask shell\nask edit\nsay ok\n"});
  keep();
  EXPECT_THAT(sandbox_->heard, ElementsAre("start", "yes", "yes"));
  std::filesystem::remove(folder_ / "journal");
  plan_.runtime.mode = "read_only";
  agent({.says = "ask shell\nask edit\nsay ok\n"});
  keep();
  EXPECT_THAT(sandbox_->heard, ElementsAre("start", "yes", "no mode read_only does not change files"));
}

TEST_F(KeeperTest, MissingProgramIsNamed) {
  agent({}).refuse_spawn = base::Error{base::Code::not_found, "no such file"};
  keep();
  EXPECT_EQ(outcome(), "failed agent_missing");
}

TEST_F(KeeperTest, FailedCollectionAndTeardownAreInTheExit) {
  agent({.says = "say ok\n"}).refuse_collect = true;
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(exit_text(), HasSubstr(R"("index":null,"patch":null,"checkpoint")"));
  std::filesystem::remove(folder_ / "journal");
  agent({.says = "say ok\n"}).refuse_destroy = true;
  keep();
  EXPECT_EQ(outcome(), "failed worker_failed");
  EXPECT_THAT(exit_text(), HasSubstr(R"("gone":false)"));
}

TEST_F(KeeperTest, SecondKeeperOfAnAttemptIsRefused) {
  agent({.says = "say ok\n"});
  keep();
  ASSERT_TRUE(kept_);
  agent({.says = "say ok\n"});
  keep();
  ASSERT_FALSE(kept_);
  EXPECT_EQ(kept_.error().code, base::Code::conflict);
}

}  // namespace
}  // namespace agentrouter::keeper
