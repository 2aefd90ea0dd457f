#include <sys/resource.h>

#include "keeper/attempt.h"
#include "keeper/keeper_fixture_test.h"
#include "keeper/sim_journal_conformance.h"

namespace agentrouter::keeper {
namespace {

using ::testing::Contains;

constexpr int said = 2000;

// An attempt whose journal is on a disk that is nearly full.
class KeeperOnFullDisk : public KeeperTest {
 protected:
  KeeperOnFullDisk() {
    std::string says;
    for (int i = 0; i < said; ++i)
      says += "event agent.progress {\"n\":" + std::to_string(i) + ",\"summary\":\"" + std::string(400, 'p') + "\"}\n";
    agent({.says = says + "say ok\n"});
    sim_.set_capacity(1536u << 10);
  }
  // `when_full` runs once everything stands still.
  void drive(const std::function<void(Attempt&)>& when_full, DiskPatience patience = {10min, 1ms}) {
    Journal journal = base::value_or_throw(Journal::create(sim_journal_file(sim_, "journal"), clock_));
    Recorder recorder(std::move(journal), clock_, entropy_, nothing_hidden_, model::EventSource::codex);
    Attempt attempt(
        {.executor = io_.get_executor(),
         .sandbox = *sandbox_,
         .attempt_dir = dir_.get(),
         .plan = plan_,
         .recorder = recorder,
         .clock = clock_,
         .entropy = entropy_,
         .make_session = [](const AttemptPlan&, policy::NoProgress&,
                            const base::Redactor&) { return std::make_unique<ScriptedSession>(); },
         .disk_patience = patience});
    testing::run_task(io_, drive_both(attempt, when_full));
    const auto fd = sim_journal_fd(sim_, "journal");
    records_ = base::value_or_throw(read_journal(fd.get(), 0, UINT64_MAX, SIZE_MAX)).records;
  }
  base::Task<void> drive_both(Attempt& attempt, const std::function<void(Attempt&)>& when_full) {
    base::TaskScope beside(io_.get_executor());
    beside.spawn(watch(attempt, when_full));
    const bool written = co_await attempt.run();
    EXPECT_TRUE(written);
    co_await beside.cancel_and_join();
    co_await sandbox_->stop();
  }
  base::Task<void> watch(Attempt& attempt, const std::function<void(Attempt&)>& when_full) {
    while (!sandbox_->frozen) co_await base::sleep_for(1ms);
    // Time for whatever would go on although it must not.
    co_await base::sleep_for(stands_);
    when_full(attempt);
  }

  testing::SimDisk sim_;
  std::chrono::milliseconds stands_ = 30ms;
};

TEST_F(KeeperOnFullDisk, EverythingStandsStillUntilThereIsRoomAndNothingIsLost) {
  std::uint64_t stood_at = 0;
  drive([&](Attempt&) {
    stood_at = sim_.size("journal");
    sim_.heal();
  });
  EXPECT_EQ(outcome(), "completed");
  EXPECT_LT(stood_at, 1100u << 10) << "what was preallocated is not used up";
  EXPECT_EQ(sandbox_->freezes, 1);
  EXPECT_FALSE(sandbox_->frozen);
  EXPECT_EQ(base::get_string(payload("run.waiting"), "reason"), "storage_full");
  EXPECT_EQ(payloads("run.resumed").size(), 1u);
  const auto progress = payloads("agent.progress");
  ASSERT_EQ(progress.size(), static_cast<std::size_t>(said));
  for (int i = 0; i < said; ++i) ASSERT_EQ(base::get_int(progress[static_cast<std::size_t>(i)], "n"), i);
}

TEST_F(KeeperOnFullDisk, ADiskThatStaysFullEndsTheRunFromTheReserve) {
  drive([](Attempt&) {}, {60ms, 5ms});
  EXPECT_EQ(outcome(), "failed storage_full");
  EXPECT_EQ(records_.back().kind, "exit");
  EXPECT_EQ(kinds().at(kinds().size() - 2), "execution.failed");
  EXPECT_THAT(kinds(), Contains("run.waiting"));
  EXPECT_TRUE(payload("run.resumed").empty());
  EXPECT_TRUE(sandbox_->destroyed);
}

TEST_F(KeeperOnFullDisk, ACancelIsObeyedWhileEverythingStandsStill) {
  drive([](Attempt& attempt) { attempt.cancel(); });
  EXPECT_EQ(outcome(), "cancelled");
  EXPECT_TRUE(sandbox_->destroyed);
}

TEST_F(KeeperOnFullDisk, TheTimeThatIsWaitedIsNotTheRuns) {
  plan_.limits.wall_time = 20s;
  plan_.limits.quiet = 600ms;
  stands_ = 700ms;
  drive([&](Attempt&) { sim_.heal(); });
  EXPECT_EQ(outcome(), "completed");
}

TEST_F(KeeperOnFullDisk, AJournalWhoseSyncHasFailedReleasesNothing) {
  sim_.heal();
  sim_.fail_syncs(1);
  Journal journal = base::value_or_throw(Journal::create(sim_journal_file(sim_, "journal"), clock_));
  Recorder recorder(std::move(journal), clock_, entropy_, nothing_hidden_, model::EventSource::codex);
  EXPECT_THROW(recorder.durable("released", {}), base::Failure);
  EXPECT_THROW(recorder.durable("released", {}), base::Failure) << "a second sync would prove nothing";
  recorder.record("event", {});
}

TEST_F(KeeperTest, LinesOfAnAgentThatTheDiskDoesNotTakeAreWrittenWhenItDoes) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  auto log = base::value_or_throw(AgentLog::create(dir_.get(), "stdout.ndjson", nothing_hidden_));
  int told = 0;
  log.on_full([&] { ++told; });
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string expected;
  std::size_t most = 0;
  for (int i = 0; i < 20; ++i) {
    const auto line = std::to_string(i) + std::string(90, 'x');
    log.line(line);
    expected += line + "\n";
    most = std::max<std::size_t>(most, log.bytes());
  }
  EXPECT_GT(told, 0);
  EXPECT_TRUE(log.is_behind());
  EXPECT_EQ(most, 1000u);
  EXPECT_EQ(file("stdout.ndjson"), expected.substr(0, 1000));
  EXPECT_THROW(log.line(std::string(9u << 20, 'x')), base::Failure);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(log.catch_up());
  log.line("end");
  EXPECT_EQ(file("stdout.ndjson"), expected + "end\n");
  EXPECT_EQ(log.bytes(), expected.size() + 4);
}

}  // namespace
}  // namespace agentrouter::keeper
