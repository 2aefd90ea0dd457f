#include "worker/worker.h"

#include "worker/attempt_folder.h"
#include "worker/fixture_test.h"
#include "worker/journal_copy.h"
#include "worker/log_archive.h"
#include "worker/run_driver.h"

namespace agentrouter::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(WorkerTest, RunGoesFromTheQueueToItsEndWithItsWholeRecord) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_THAT(types(id),
              ElementsAre("run.claimed", "sandbox.created", "credential_boundary.verified", "action.proposed",
                          "policy.evaluated", "execution.started", "agent.started", "agent.completed",
                          "execution.completed", "provider.stdout", "provider.stderr", "agent.response",
                          "usage.recorded", "workspace.file_index_collected", "workspace.patch_collected",
                          "checkpoint.created", "sandbox.destroyed", "run.completed"));
  EXPECT_EQ(events(id).back().sequence, run(id).last_event_seq);
  EXPECT_EQ(base::get_string(payload(id, "agent.response"), "text"), "all done");
  EXPECT_EQ(base::get_int(payload(id, "workspace.file_index_collected"), "fileCount"), 2);
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(WorkerTest, SixArtifactsHoldWhatTheirRecordsSay) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  std::vector<std::string> kinds;
  for (const auto& artifact : artifacts(id)) kinds.push_back(artifact.kind);
  EXPECT_THAT(kinds,
              ::testing::UnorderedElementsAre("stdout_log", "stderr_log", "workspace_file_index",
                                              "workspace_patch", "session_events", "session_manifest"));
  EXPECT_THAT(*base::gunzip(blob(id, "stdout_log"), 1u << 20), HasSubstr("say all done\n"));
  EXPECT_EQ(*base::gunzip(blob(id, "stderr_log"), 1u << 20), "");
  EXPECT_EQ(blob(id, "workspace_file_index"), "{\"files\":[]}");
  EXPECT_EQ(blob(id, "workspace_patch"), "a patch");
  EXPECT_THAT(blob(id, "session_events"), HasSubstr(events(id).back().to_wire()));
  EXPECT_THAT(blob(id, "session_manifest"), HasSubstr("\"lastEventSeq\":18"));
}

TEST_F(WorkerTest, ApprovalReachesTheKeeperAndIsTheCauseOfTheExecution) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  EXPECT_EQ(run(id).status, model::RunStatus::starting);
  decide(id, runs::Decision::approved);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(base::get_string(payload(id, "execution.started"), "priorEventId"),
            base::get_string(payload(id, "approval.decided"), "eventId"));
}

TEST_F(WorkerTest, DeniedAndBlockedRunsFailWithoutAnExecution) {
  start();
  const auto denied = submit(simple_script, model::ApprovalMode::manual);
  until_event(denied, "approval.requested");
  decide(denied, runs::Decision::denied);
  const auto blocked = submit(simple_script, model::ApprovalMode::block);
  until_retired(denied);
  until_retired(blocked);
  EXPECT_EQ(failure(denied), "approval_denied");
  EXPECT_EQ(failure(blocked), "policy_denied");
  EXPECT_THAT(types(denied), ::testing::Not(Contains("execution.started")));
}

TEST_F(WorkerTest, RunningRunIsCancelledAndKeepsWhatItMade) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  cancel(id);
  until_retired(id);
  EXPECT_EQ(failure(id), "cancelled");
  EXPECT_EQ(types(id).back(), "run.cancelled");
  EXPECT_EQ(base::get_string(payload(id, "execution.failed"), "reason"), "cancelled");
  EXPECT_EQ(blob(id, "workspace_patch"), "a patch");
  EXPECT_EQ(artifacts(id).size(), 6u);
}

TEST_F(WorkerTest, RunThatWaitsForAPersonCanBeCancelled) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  cancel(id);
  until_retired(id);
  EXPECT_EQ(failure(id), "cancelled");
}

TEST_F(WorkerTest, CancelledInTheQueueNeedsNoAttempt) {
  const auto id = submit(simple_script);
  cancel(id);
  start();
  until([&] { return run(id).status == model::RunStatus::cancelled; });
  EXPECT_THAT(types(id), ElementsAre("run.cancelled"));
  EXPECT_THAT(launcher_.requests, IsEmpty());
}

TEST_F(WorkerTest, KeeperThatDoesNotObeyIsKilledAndTheRunIsCancelled) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  ::kill(launcher_.keepers.at(0), SIGSTOP);
  cancel(id);
  until_retired(id);
  EXPECT_EQ(failure(id), "cancelled");
  EXPECT_EQ(base::get_string(payload(id, "execution.failed"), "reason"), "cancelled");
}

TEST_F(WorkerTest, KeeperLostBeforeAnythingHappenedIsReplaced) {
  launcher_.stillborn = 1;
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(base::get_int(payload(id, "run.attempt_started"), "attempt"), 2);
  EXPECT_EQ(launcher_.requests.size(), 2u);
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(WorkerTest, LaunchWhoseLauncherDiesIsAnAttemptThatWasLost) {
  launcher_.lost = 2;
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(std::ranges::count(types(id), "run.attempt_started"), 2);
  ASSERT_EQ(launcher_.requests.size(), 3u);
  EXPECT_NE(launcher_.requests[0].attempt, launcher_.requests[1].attempt);
  launcher_.lost = 3;
  const auto never = submit(simple_script);
  until_retired(never);
  EXPECT_EQ(failure(never), "attempts_exhausted");
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(WorkerTest, KeeperLostWhileAPersonIsAskedAsksAgain) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  ::kill(launcher_.keepers.at(0), SIGKILL);
  until([&] { return std::ranges::count(types(id), "approval.requested") == 2; });
  EXPECT_EQ(std::ranges::count(types(id), "approval.withdrawn"), 1);
  cancel(id);
  until_retired(id);
}

TEST_F(WorkerTest, AfterThreeLostAttemptsTheRunFails) {
  launcher_.stillborn = 3;
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "attempts_exhausted");
  EXPECT_EQ(launcher_.requests.size(), 3u);
  EXPECT_EQ(artifacts(id).size(), 6u);
}

TEST_F(WorkerTest, HowOftenARunIsTriedIsConfigured) {
  config_.max_attempts = 1;
  launcher_.stillborn = 1;
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "attempts_exhausted");
  EXPECT_EQ(launcher_.requests.size(), 1u);
}

TEST_F(WorkerTest, AnAttemptWhoseFolderIsGoneIsNotRepeated) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  stop();
  for (const pid_t keeper : launcher_.keepers) ::kill(keeper, SIGKILL);
  std::filesystem::remove_all(folder_ / "attempts");
  start();
  until_retired(id);
  EXPECT_EQ(failure(id), "attempt_lost");
  EXPECT_EQ(launcher_.requests.size(), 1u);
}

TEST_F(WorkerTest, FoldersOfAttemptsThatNobodyKnowsAreRemovedAtTheStart) {
  const auto unknown = model::AttemptId("attempt_" + base::uuid_from_text("from another store"));
  std::filesystem::create_directories(folder_ / "attempts");
  ASSERT_TRUE(AttemptFolder::make(folder_ / "attempts", unknown));
  std::filesystem::create_directories(folder_ / "attempts/not-an-attempt");
  start();
  until([&] { return left_in("attempts").size() == 1; });
  EXPECT_THAT(left_in("attempts"), ElementsAre(HasSubstr("not-an-attempt")));
}

TEST_F(WorkerTest, ARunThatIsCancelledWhileItsKeeperComesUpEndsAtOnceAndHasNoAgent) {
  launcher_.after_keeper = [](pid_t keeper) { ::kill(keeper, SIGSTOP); };
  config_.launch_wait = 60s;
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until([&] { return launcher_.keepers_begun > 0; });
  cancel(id);
  until_retired(id);
  EXPECT_EQ(failure(id), "cancelled");
  EXPECT_EQ(launcher_.requests.size(), 1u);
  EXPECT_THAT(types(id), ::testing::Not(Contains("execution.started")));
}

TEST_F(WorkerTest, KeeperLostAfterTheReleaseIsNotRepeatedAndKeepsWhatWasSaid) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  ::kill(launcher_.keepers.at(0), SIGKILL);
  until_retired(id);
  EXPECT_EQ(failure(id), "attempt_lost");
  EXPECT_EQ(launcher_.requests.size(), 1u);
  EXPECT_EQ(base::get_string(payload(id, "execution.failed"), "reason"), "outcome_unknown");
  EXPECT_EQ(base::get_string(payload(id, "execution.failed"), "priorEventId"),
            base::get_string(payload(id, "execution.started"), "eventId"));
  EXPECT_THAT(*base::gunzip(blob(id, "stdout_log"), 1u << 20), HasSubstr("agent.started"));
  EXPECT_EQ(base::get_bool(payload(id, "workspace.file_index_collected"), "truncated"), true);
}

TEST_F(WorkerTest, NextWorkerTakesUpARunningKeeper) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  stop();
  EXPECT_EQ(open_attempts(), 1u);
  decide(id, runs::Decision::approved);
  config_.worker_id = "worker_2";
  start();
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(launcher_.requests.size(), 1u);
  EXPECT_EQ(std::ranges::count(types(id), "sandbox.created"), 1);
}

TEST_F(WorkerTest, KeeperThatFinishedWhileNobodyWatchedIsClosedFromItsJournal) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  decide(id, runs::Decision::approved);
  until_event(id, "execution.started");
  stop();
  ::kill(launcher_.keepers.at(0), SIGKILL);
  start();
  until_retired(id);
  // Either it had written its exit before it was killed, or it is lost: both end the run with all its events.
  EXPECT_THAT(failure(id), ::testing::AnyOf("completed", "attempt_lost"));
  EXPECT_EQ(artifacts(id).size(), 6u);
}

TEST_F(WorkerTest, RunsThatCannotStartSayWhy) {
  start();
  preparer_.refuse = base::Error{base::Code::not_found, "codex is not installed", "agent_missing"};
  const auto missing = submit(simple_script);
  until_retired(missing);
  preparer_.refuse.reset();
  launcher_.refuse = base::Error{base::Code::unsupported, "no user namespaces", "sandbox_unavailable"};
  const auto refused = submit(simple_script);
  until_retired(refused);
  launcher_.refuse.reset();
  const auto homeless = submit(simple_script, model::ApprovalMode::automatic, folder_ / "nowhere");
  until_retired(homeless);
  EXPECT_EQ(failure(missing), "agent_missing");
  EXPECT_EQ(failure(refused), "sandbox_unavailable");
  EXPECT_EQ(failure(homeless), "worker_failed");
  EXPECT_THAT(types(missing), ElementsAre("run.claimed", "run.failed"));
  EXPECT_THAT(left_in("attempts"), IsEmpty());
}

TEST_F(WorkerTest, WithoutAProviderTheVariablesAreNamed) {
  config_.provider.kind = ProviderKind::none;
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  EXPECT_EQ(failure(id), "provider_unconfigured");
  EXPECT_THAT(run(id).failure->reason, HasSubstr("OPENAI_API_KEY"));
  EXPECT_THAT(run(id).failure->reason, HasSubstr("CODEX_API_KEY"));
}

TEST_F(WorkerTest, TakesNoMoreRunsThanItMay) {
  config_.concurrency = 1;
  start();
  const auto first = submit(simple_script, model::ApprovalMode::manual);
  const auto second = submit(simple_script);
  until_event(first, "approval.requested");
  EXPECT_EQ(run(second).status, model::RunStatus::queued);
  decide(first, runs::Decision::approved);
  until_retired(first);
  until_retired(second);
  EXPECT_EQ(failure(second), "completed");
}

TEST_F(WorkerTest, RunsThatWaitLendTheirSlotsUpToSoManyAndHoldThemBeyond) {
  config_.concurrency = 1;
  config_.max_waiting = 1;
  start();
  const auto first = submit(simple_script, model::ApprovalMode::manual);
  until_event(first, "approval.requested");
  const auto second = submit(simple_script, model::ApprovalMode::manual);
  until_event(second, "approval.requested");
  const auto third = submit(simple_script);
  until_quiet();
  EXPECT_EQ(run(third).status, model::RunStatus::queued) << "both wait, and one slot is lent at most";
  decide(first, runs::Decision::approved);
  until([&] { return model::is_terminal(run(third).status); });
  EXPECT_EQ(failure(third), "completed");
  EXPECT_FALSE(model::is_terminal(run(second).status)) << "it waits for as long as nobody decides";
  cancel(second);
  until_retired(second);
}

TEST_F(WorkerTest, SeveralRunsAtOnceHaveSlotsOfTheirOwn) {
  start();
  std::vector<model::RunId> all;
  for (int i = 0; i < 3; ++i) all.push_back(submit(simple_script, model::ApprovalMode::manual));
  for (const auto& id : all) until_event(id, "approval.requested");
  std::set<std::uint32_t> slots;
  for (const auto& request : launcher_.requests) slots.insert(request.slot);
  EXPECT_EQ(slots.size(), 3u);
  for (const auto& id : all) decide(id, runs::Decision::approved);
  for (const auto& id : all) until_retired(id);
  for (const auto& id : all) EXPECT_EQ(failure(id), "completed");
}

TEST_F(WorkerTest, ReadOnlyModeMountsTheWorkspaceReadOnlyAndBindsTheAgent) {
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  const auto& plan = launcher_.requests.at(0).plan;
  EXPECT_EQ(plan.workspace, sandbox::WorkspaceMode::read_write);
  EXPECT_EQ(plan.binds.back().to, "/opt/agent");
}

TEST_F(WorkerTest, LargePayloadBecomesAnArtifactAndLeavesAPreview) {
  const std::string big(40'000, 'z');
  start();
  const auto id = submit(base::to_text(json::object{
      {"says", "event agent.message {\"provider\":\"codex\",\"text\":\"" + big + "\"}\nsay ok\n"}}));
  until_retired(id);
  const auto all = events(id);
  const auto message =
      std::ranges::find_if(all, [](const auto& event) { return event.type == "agent.message"; });
  ASSERT_NE(message, all.end());
  EXPECT_TRUE(message->truncated);
  EXPECT_LE(message->payload.size(), 32u << 10);
  ASSERT_TRUE(message->artifact_ref);
  EXPECT_THAT(blob(id, "payload_overflow"), HasSubstr(big));
  EXPECT_EQ(artifacts(id).size(), 7u);
}

TEST_F(WorkerTest, LongLogIsStoredInPiecesAndJoinedAtTheEnd) {
  std::string says;
  std::string line = "event agent.progress {\"summary\":\"" + std::string(6000, 'p') + "\"}\n";
  for (int i = 0; i < 150; ++i) says += line;
  start();
  const auto id = submit(base::to_text(json::object{{"says", says + "say ok\n"}}));
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  const std::string log = *base::gunzip(blob(id, "stdout_log"), 16u << 20);
  EXPECT_EQ(log, says + "say ok\n");
  std::string members;
  for (std::size_t at = 0; at < log.size(); at += log_piece_bytes)
    members += base::gzip(log.substr(at, log_piece_bytes));
  EXPECT_EQ(blob(id, "stdout_log"), members);
  EXPECT_THAT(left_in("blobs/staging"), IsEmpty());
}

TEST(Preview, KeepsTheShapeAndMarksWhatWasCut) {
  const json::object payload{{"text", std::string(20'000, 'a')},
                             {"short", "s"},
                             {"changes", json::array{json::object{{"diff", std::string(50'000, 'b')}}}}};
  const json::object preview = preview_of(payload, 32u << 10);
  EXPECT_LE(base::to_text(preview).size(), 32u << 10);
  EXPECT_EQ(base::get_string(preview, "short"), "s");
  EXPECT_EQ(base::get_bool(preview, "textTruncated"), true);
  EXPECT_EQ(base::get_array(preview, "changes")->size(), 1u);
  json::array many;
  for (int i = 0; i < 100'000; ++i) many.emplace_back(i);
  EXPECT_LE(base::to_text(preview_of({{"many", many}}, 32u << 10)).size(), 32u << 10);
}

// The clock may be set meanwhile.
TEST(DeadlineOf, ATimeOfTheWallClockIsLookedAtAgainAfterAMinute) {
  testing::ManualClock clock;
  EXPECT_LE(deadline_of(clock.now() + 2h, clock), base::after(1min + 1s));
  EXPECT_GT(deadline_of(clock.now() + 30s, clock), base::after(29s));
  EXPECT_LE(deadline_of(clock.now() - 1h, clock), base::after(1s));
}

TEST(IsStopped, IsSeenOfAProcessThatASignalHasStopped) {
  EXPECT_FALSE(is_stopped(::getpid()));
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  ::kill(child, SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  EXPECT_TRUE(is_stopped(child));
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  EXPECT_FALSE(is_stopped(child));
}

TEST(Concurrency, DefaultIsAtLeastOne) {
  EXPECT_GE(default_concurrency(), 1);
}

}  // namespace
}  // namespace agentrouter::worker
