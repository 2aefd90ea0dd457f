#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::HasSubstr;

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

TEST_F(KeeperTest, TheOutputLimitIsOfTheLogsToo) {
  plan_.limits.output_bytes = 1u << 20;
  agent({.says = "say ok\n", .says_to_stderr = std::string(512u << 10, '\n')});
  keep();
  EXPECT_EQ(outcome(), "failed output_limit");
  EXPECT_LE(file("stderr.ndjson").size(), 2u << 20);
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
                   .make_session = [](const AttemptPlan&, policy::NoProgress&, const base::Redactor&) {
                     return std::make_unique<ScriptedSession>();
                   }});
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
