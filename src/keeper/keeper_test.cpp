#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view key_text = "sk-canary-0123456789abcdef";

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

TEST_F(KeeperTest, ATurnLeavesACheckpointWithTheThreadThatGoesOn) {
  plan_.program.files = {{"/home/agent/.codex/config.toml", "x"}, {"/etc/hosts", "x"}};
  plan_.program.caches = {".cache"};
  agent({.says = "event agent.started {\"provider\":\"codex\",\"threadId\":\"t7\"}\nfail agent_broken\n"});
  keep();
  EXPECT_EQ(outcome(), "failed agent_broken");
  EXPECT_THAT(sandbox_->left_out, ElementsAre(".cache", ".codex/config.toml"));
  EXPECT_EQ(file("checkpoint.tar.zst"), "a checkpoint");
  EXPECT_THAT(exit_text(), HasSubstr(R"("threadId":"t7")"));
  EXPECT_THAT(exit_text(),
              HasSubstr(R"("checkpoint":{"bytes":12,"sha256":")" + base::Sha256::hex_of("a checkpoint")));
}

TEST_F(KeeperTest, ACheckpointThatFailsIsNamedAndChangesNothingElse) {
  agent({.says = "say ok\n"}).checkpointer_says = R"({"error":"the files are too large"})";
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_THAT(exit_text(), HasSubstr(R"("checkpoint":null,"checkpointError":"the files are too large")"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "checkpoint.tar.zst"));
}

TEST_F(KeeperTest, AnAgentThatWasNeverReleasedLeavesNoCheckpoint) {
  plan_.approval_mode = model::ApprovalMode::block;
  keep();
  EXPECT_EQ(outcome(), "failed policy_denied");
  EXPECT_EQ(sandbox_->checkpoints, 0);
  EXPECT_THAT(exit_text(), HasSubstr(R"("checkpoint":null,"stdout")"));
}

TEST_F(KeeperTest, ALaterTurnIsRestoredBeforeAnythingElse) {
  plan_.restores = true;
  plan_.resume_thread = "t7";
  ASSERT_TRUE(base::write_file_durably(folder_ / "restore.tar.zst", "what was left"));
  agent({.says = "say ok\n"});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(sandbox_->restored_bytes, "what was left");
  EXPECT_EQ(sandbox_->turn_began_with, "what was left");
  EXPECT_EQ(file("turn.patch"), "a turn's patch");
  EXPECT_THAT(exit_text(), HasSubstr(R"("turnPatch":{"bytes":14,)"));
  EXPECT_THAT(kinds(),
              ElementsAre("hello", "sandbox.resumed", "action.proposed", "policy.evaluated", "released",
                          "execution.started", "agent.completed", "execution.completed", "exit"));
}

// Asks for files on a connection of its own and gives what comes.
base::Task<std::string> files_of(base::Executor executor, int dir, std::string request) {
  auto socket = connect_to_keeper(executor, dir);
  (void)co_await socket->write(to_line(ServerMessage(LeaseMessage{1})));
  (void)co_await socket->write(to_line(ServerMessage(FilesMessage{std::move(request)})));
  std::string all;
  for (;;) {
    const auto piece = co_await socket->read_some();
    if (!piece || piece->empty()) break;
    all += *piece;
  }
  co_return all;
}

TEST_F(KeeperTest, FilesAreReadInsideWhileTheAgentRunsAndNoMoreThanEightAtOnce) {
  agent({}).readers_stay = true;
  std::vector<std::string> answers;
  keep([&](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    while (!sandbox_->spawned) co_await base::sleep_for(5ms);
    for (int i = 0; i < 9; ++i)
      answers.push_back(co_await files_of(io_.get_executor(), dir_.get(), "request"));
    (void)co_await socket.write(to_line(ServerMessage(CancelMessage{})));
    co_await until_bye(socket);
    answers.push_back(co_await files_of(io_.get_executor(), dir_.get(), "late"));
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  ASSERT_EQ(answers.size(), 10u);
  for (int i = 0; i < 8; ++i) EXPECT_THAT(answers[i], ::testing::EndsWith("{\"type\":\"files\"}\nframes"));
  EXPECT_THAT(answers[8], HasSubstr("too many requests"));
  EXPECT_THAT(answers[9], HasSubstr("the run has ended"));
  EXPECT_THAT(sandbox_->file_requests, ::testing::AllOf(::testing::SizeIs(8), ::testing::Each("request")));
}

TEST_F(KeeperTest, AReaderThatHasEndedMakesRoomForTheNext) {
  agent({});
  std::string last;
  keep([&](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    while (!sandbox_->spawned) co_await base::sleep_for(5ms);
    for (int i = 0; i < 10; ++i) last = co_await files_of(io_.get_executor(), dir_.get(), "request");
    (void)co_await socket.write(to_line(ServerMessage(CancelMessage{})));
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  EXPECT_THAT(last, HasSubstr("frames"));
  EXPECT_EQ(sandbox_->file_requests.size(), 10u);
}

TEST_F(KeeperTest, AStateThatCannotBeRestoredEndsTheRunBeforeItsAgent) {
  plan_.restores = true;
  ASSERT_TRUE(base::write_file_durably(folder_ / "restore.tar.zst", "damaged"));
  agent({.says = "say ok\n"}).restorer_says = R"({"error":"cannot read the archive"})";
  keep();
  EXPECT_EQ(outcome(), "failed checkpoint_unavailable");
  EXPECT_THAT(exit_text(), HasSubstr("cannot read the archive"));
  EXPECT_THAT(exit_text(), ::testing::Not(HasSubstr("turnPatch")));
  EXPECT_FALSE(sandbox_->spawned);
  EXPECT_EQ(sandbox_->checkpoints, 0);
}

TEST_F(KeeperTest, AStateThatIsMissingEndsTheRunBeforeItsAgent) {
  plan_.restores = true;
  agent({.says = "say ok\n"});
  keep();
  EXPECT_EQ(outcome(), "failed checkpoint_unavailable");
  EXPECT_EQ(sandbox_->restorations, 0);
  EXPECT_FALSE(sandbox_->spawned);
}

TEST_F(KeeperTest, CancelStopsARestorationThatTakesLong) {
  plan_.restores = true;
  ASSERT_TRUE(base::write_file_durably(folder_ / "restore.tar.zst", "long"));
  agent({.says = "say ok\n"}).restorer_hangs = true;
  keep([](LineSocket socket) -> base::Task<void> {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    (void)co_await socket.write(to_line(ServerMessage(CancelMessage{})));
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_FALSE(sandbox_->spawned);
  EXPECT_EQ(sandbox_->checkpoints, 0);
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

TEST_F(KeeperTest, AnAgentThatWritesMoreThanItMayIsEndedAndItsWorkIsKept) {
  using Cause = sandbox::DiskStop::Cause;
  struct Case {
    Cause cause;
    const char* limit;
    const char* reason;
  };
  for (const Case& one : {Case{Cause::bytes, "maxDiskBytes", "70 of 50 bytes"},
                          Case{Cause::inodes, "maxDiskInodes", "9 of 7 files and folders"},
                          Case{Cause::depth, "diskDepth", "nested"},
                          Case{Cause::reserve, "diskReserve", "had written 70 bytes"}}) {
    std::filesystem::remove(folder_ / "journal");
    agent({.says = "event agent.started {}\n", .overfills = sandbox::DiskStop{one.cause, true, 70, 9, 50, 7}});
    keep();
    EXPECT_EQ(outcome(), "failed disk_limit");
    const auto& failure = *base::get_object(exit(), "failure");
    EXPECT_EQ(base::get_string(failure, "cause"), one.limit);
    EXPECT_THAT(std::string(*base::get_string(failure, "reason")), HasSubstr(one.reason));
    ASSERT_EQ(payloads("limit.exceeded").size(), 1u);
    EXPECT_EQ(base::get_string(payload("limit.exceeded"), "limit"), one.limit);
    EXPECT_EQ(base::get_int(payload("limit.exceeded"), "used"), one.cause == Cause::inodes ? 9 : 70);
    EXPECT_EQ(sandbox_->collections, 1);
    EXPECT_EQ(sandbox_->checkpoints, 1);
  }
}

TEST_F(KeeperTest, ProcessesThatAreKilledForMemoryAreTold) {
  agent({.says = "say ok\n", .loses_children = 3});
  keep();
  EXPECT_EQ(outcome(), "completed");
  ASSERT_EQ(payloads("sandbox.memory_kill").size(), 1u);
  EXPECT_EQ(base::get_int(payload("sandbox.memory_kill"), "processes"), 3);
  EXPECT_EQ(base::get_int(payload("sandbox.memory_kill"), "total"), 3);
}

TEST_F(KeeperTest, RunThatTakesTooLongIsEnded) {
  plan_.limits.wall_time = 100ms;
  agent({.says = "event agent.started {}\n"});
  keep();
  EXPECT_EQ(outcome(), "failed wall_limit");
}

TEST_F(KeeperTest, AgentWithAnOpenCommandIsNotQuiet) {
  plan_.limits.quiet = 60ms;
  plan_.limits.wall_time = 400ms;
  agent({.says = "event agent.tool_started "
                 "{\"callId\":\"1\",\"tool\":\"shell\",\"args\":{\"command\":\"sleep\"}}\n"});
  keep();
  EXPECT_EQ(outcome(), "failed wall_limit");
}

TEST_F(KeeperTest, FloodIsCutAtTheOutputLimit) {
  plan_.limits.output_bytes = 1u << 20;
  agent({.says = "event agent.started {}\n", .floods = 1ull << 30});
  keep();
  EXPECT_EQ(outcome(), "failed output_limit");
  // What was written beyond it never left the pipe.
  EXPECT_LE(sandbox_->flooded, 2u << 20);
}

TEST_F(KeeperTest, AnAgentThatWritesFasterThanItMayWaits) {
  plan_.limits.output_rate = 512u << 10;
  plan_.limits.output_bytes = 1u << 20;
  agent({.says = "event agent.started {}\n", .floods = 1ull << 30});
  const auto began = std::chrono::steady_clock::now();
  keep();
  EXPECT_EQ(outcome(), "failed output_limit");
  // The first second's worth comes at once.
  EXPECT_GE(std::chrono::steady_clock::now() - began, 900ms);
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

TEST_F(KeeperTest, ProviderKeyIsRedactedFromEventsLogsAndTheAnswer) {
  key_ = base::value_or_throw(egress::Secret::create(key_text));
  plan_.provider = Provider::upstream;
  plan_.base_url = "http://127.0.0.1:9/v1";
  agent({.says = "event agent.message {\"text\":\"" + std::string(key_text) + "\"}\nsay it is " +
                 std::string(key_text) + "\n",
         .says_to_stderr = "export KEY=" + std::string(key_text) + "\n"});
  keep();
  EXPECT_EQ(outcome(), "completed");
  for (const char* name : {"journal", "stdout.ndjson", "stderr.ndjson"}) {
    EXPECT_EQ(file(name).find(key_text), std::string::npos) << name;
    EXPECT_NE(file(name).find("[REDACTED]"), std::string::npos) << name;
  }
}

base::Task<void> ask_provider(base::Executor executor, int listener) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  asio::basic_stream_socket<asio::ip::tcp, base::Executor> socket(executor);
  co_await socket.async_connect({asio::ip::address_v4::loopback(), ntohs(address.sin_port)}, base::use_task);
  const std::string body =
      R"({"model":"gpt-5.5","stream":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"sim: reply hi"}]}]})";
  const std::string request =
      "POST /v1/responses HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\n"
      "Content-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  co_await asio::async_write(socket, asio::buffer(request), base::use_task);
  std::string answer;
  boost::system::error_code error;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                            asio::redirect_error(base::use_task, error));
  EXPECT_THAT(answer, HasSubstr("response.completed"));
}

base::Task<void> ask_mcp_server(base::Executor executor, int listener) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  asio::basic_stream_socket<asio::ip::tcp, base::Executor> socket(executor);
  co_await socket.async_connect({asio::ip::address_v4::loopback(), ntohs(address.sin_port)}, base::use_task);
  const std::string request = "GET /mcp/tracker HTTP/1.1\r\nHost: 127.83.1.1\r\nConnection: close\r\n\r\n";
  co_await asio::async_write(socket, asio::buffer(request), base::use_task);
  std::string answer;
  boost::system::error_code error;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                            asio::redirect_error(base::use_task, error));
  EXPECT_THAT(answer, HasSubstr("mcp_unavailable"));
}

TEST_F(KeeperTest, RequestToAnMcpServerIsOnRecordAndIsNoneOfTheProviders) {
  plan_.mcp = {{"tracker", "http://127.0.0.1:1/mcp", {{"X-Key", {}, 9}}}};
  mcp_secrets_.push_back(base::value_or_throw(egress::Secret::create_field("mcp-value")));
  agent({.says = "say ok\n", .does = [this] { return ask_mcp_server(io_.get_executor(), listener_.get()); }});
  keep();
  EXPECT_EQ(outcome(), "completed");
  const auto all = kinds();
  EXPECT_LT(std::find(all.begin(), all.end(), "forwarded"),
            std::find(all.begin(), all.end(), "egress.request"));
  const auto request = payload("egress.request");
  EXPECT_EQ(base::get_string(request, "purpose"), "mcp");
  EXPECT_EQ(base::get_string(request, "server"), "tracker");
  EXPECT_EQ(base::get_string(request, "reason"), "mcp_unavailable");
  EXPECT_THAT(exit_text(), HasSubstr(R"("requests":0)"));
}

TEST_F(KeeperTest, FirstProviderRequestIsOnRecordBeforeItLeavesAndIsMetered) {
  agent({.says = "say ok\n", .does = [this] { return ask_provider(io_.get_executor(), listener_.get()); }});
  keep();
  EXPECT_EQ(outcome(), "completed");
  const auto all = kinds();
  const auto forwarded = std::find(all.begin(), all.end(), "forwarded");
  const auto request = std::find(all.begin(), all.end(), "egress.request");
  EXPECT_LT(forwarded, request);
  ASSERT_NE(request, all.end());
  EXPECT_LT(request, std::find(all.begin(), all.end(), "agent.completed"));
  EXPECT_EQ(base::get_string(payload("egress.request"), "decision"), "forwarded");
  EXPECT_THAT(exit_text(), HasSubstr(R"("requests":1)"));
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

TEST_F(KeeperTest, LargeTextsAreCutBeforeTheyAreRecorded) {
  Journal journal = base::value_or_throw(Journal::create(
      open_journal_file(
          base::Fd(::open((folder_ / "journal").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600))),
      clock_));
  Recorder recorder(std::move(journal), clock_, entropy_, nothing_hidden_, model::EventSource::codex);
  recorder.agent_event("agent.message", "x", {{"text", std::string((4u << 20) + 100, 'y')}});
  read_all();
  EXPECT_EQ(base::get_string(payload("agent.message"), "text")->size(), 4u << 20);
  EXPECT_EQ(base::get_bool(records_.at(0).data, "isTruncated"), true);
}

TEST_F(KeeperTest, FullDiskEndsTheRunStorageFullFromTheReserve) {
  std::string says;
  for (int i = 0; i < 200; ++i)
    says += "event agent.progress {\"summary\":\"" + std::string(500, 'p') + "\"}\n";
  agent({.says = says + "say ok\n"});
  const JournalLimits limits{.bytes = 64u << 10, .ahead = 4u << 10, .reserve = 16u << 10};
  Journal journal = base::value_or_throw(Journal::create(
      open_journal_file(
          base::Fd(::open((folder_ / "journal").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600))),
      clock_, limits));
  Recorder recorder(std::move(journal), clock_, entropy_, nothing_hidden_, model::EventSource::codex);
  Attempt attempt({.executor = io_.get_executor(),
                   .sandbox = *sandbox_,
                   .attempt_dir = dir_.get(),
                   .plan = plan_,
                   .recorder = recorder,
                   .clock = clock_,
                   .entropy = entropy_,
                   .make_session = [](const AttemptPlan&, policy::NoProgress&) { return std::make_unique<ScriptedSession>(); }});
  EXPECT_TRUE(testing::run_task(io_, attempt.run()));
  testing::run_task(io_, sandbox_->stop());
  read_all();
  EXPECT_EQ(outcome(), "failed storage_full");
  EXPECT_EQ(kinds().at(kinds().size() - 2), "execution.failed");
  EXPECT_EQ(kinds().at(kinds().size() - 3), "agent.error");
  EXPECT_TRUE(sandbox_->destroyed);
}

}  // namespace
}  // namespace agentrouter::keeper
