// Two workers on one store. The first one is frozen by not running it; its keepers go on, as they always do.

#include <boost/asio/co_spawn.hpp>

#include "keeper/fetch/fetch_plan.h"
#include "runs/nodes.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class TakeoverTest : public WorkerTest {
 protected:
  TakeoverTest() {
    config_.lease = 300ms;
    config_.host = "host_1";
    kill_ = [this](pid_t pid) {
      killed_.push_back(pid);
      kill_process(pid);
    };
  }
  ~TakeoverTest() override {
    stop_second();
    for (const pid_t keeper : second_launcher_.keepers) ::kill(keeper, SIGKILL);
  }

  enum class Where { same_machine, another_machine };
  void start_second(Where where) {
    WorkerConfig config = config_;
    config.worker_id = "worker_2";
    config.owns_store = false;
    if (where == Where::another_machine) {
      config.host = "host_2";
      config.data_dir = second_folder_.path();
    }
    second_ = std::make_unique<Worker>(
        Worker::Needs{second_io_.get_executor(), *store_, *blobs_, second_launcher_, preparer_, clock_,
                      entropy_, kill_process, trees_.get(), &unpacker_},
        config);
    second_runs_ = true;
    asio::co_spawn(second_io_.get_executor(), second_->run(), [this](std::exception_ptr error) {
      second_runs_ = false;
      EXPECT_FALSE(error);
    });
  }
  void stop_second() {
    if (!second_) return;
    second_->stop();
    while (second_runs_ && second_io_.run_one() != 0) {
    }
    second_.reset();
  }
  // Only the second one works, until then.
  template <class Condition>
  void until_by_second(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it never happens";
      second_io_.run_one_for(20ms);
      second_io_.restart();
    }
  }
  // Both work, for longer than a lease holds.
  void let_both_work() {
    for (const auto end = std::chrono::steady_clock::now() + 3 * config_.lease;
         std::chrono::steady_clock::now() < end;) {
      for (auto* io : {&io_, &second_io_}) {
        io->run_one_for(5ms);
        io->restart();
      }
    }
  }
  store::Attempt attempt(const model::RunId& id) {
    return *read([&](store::Reader& reader) { return reader.latest_attempt(id); });
  }
  bool is_ended(const model::RunId& id) { return model::is_terminal(run(id).status) && open_attempts() == 0; }

  testing::TempDir second_folder_;
  asio::io_context second_io_{1};
  ScriptedLauncher second_launcher_{keeper_nursery.socket()};
  std::vector<pid_t> killed_;  // by the first
  std::unique_ptr<Worker> second_;
  bool second_runs_ = false;
};

TEST_F(TakeoverTest, ARunOfAFrozenWorkerIsFinishedByAnotherOneWithTheSameKeeper) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  start_second(Where::same_machine);
  decide(id, runs::Decision::approved);
  until_by_second([&] { return is_ended(id); });
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(attempt(id).worker_id, "worker_2");
  EXPECT_EQ(attempt(id).number, 1);
  EXPECT_THAT(second_launcher_.requests, IsEmpty());
  const auto before = types(id);
  const int releases = launcher_.releases;
  let_both_work();  // the first one wakes up
  EXPECT_EQ(types(id), before);
  EXPECT_THAT(killed_, IsEmpty());
  EXPECT_EQ(launcher_.releases, releases);
}

TEST_F(TakeoverTest, AWorkerThatWakesUpLeavesAloneWhatAnotherOneHasNow) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  start_second(Where::same_machine);
  until_by_second([&] { return attempt(id).worker_id == "worker_2"; });
  const auto token = attempt(id).token;
  let_both_work();
  EXPECT_EQ(attempt(id).worker_id, "worker_2");
  EXPECT_EQ(attempt(id).token, token);
  EXPECT_EQ(run(id).status, model::RunStatus::running);
  EXPECT_THAT(killed_, IsEmpty());
  EXPECT_EQ(launcher_.releases, 0);
  cancel(id);
  let_both_work();
  until_by_second([&] { return is_ended(id); });
  EXPECT_EQ(failure(id), "cancelled");
  EXPECT_EQ(blob(id, "workspace_patch"), "a patch");
  EXPECT_THAT(killed_, IsEmpty());
}

TEST_F(TakeoverTest, ALeaseThatNobodyTookIsRenewedHoweverLongItsHolderSlept) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  const auto over = base::after(config_.lease * 3 / 2);
  until_by_second([&] { return base::passed(over); });
  clock_.advance(1h);
  decide(id, runs::Decision::approved);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(attempt(id).token, 1);
}

TEST_F(TakeoverTest, NoJumpOfTheClockTakesARunFromTheWorkerThatHasIt) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  start_second(Where::same_machine);
  let_both_work();
  for (const auto jump : {1h, -2h}) {
    clock_.advance(jump);
    let_both_work();
  }
  EXPECT_EQ(attempt(id).worker_id, "worker_1");
  EXPECT_EQ(attempt(id).token, 1);
  decide(id, runs::Decision::approved);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
}

TEST_F(TakeoverTest, OnAnotherMachineARunThatWaitsForAPersonBeginsAnew) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  start_second(Where::another_machine);
  until_by_second([&] { return std::ranges::count(types(id), "approval.requested") == 2; });
  EXPECT_EQ(base::get_string(payload(id, "run.attempt_started"), "reason"), "machine_lost");
  EXPECT_EQ(std::ranges::count(types(id), "approval.withdrawn"), 1);
  EXPECT_EQ(attempt(id).number, 2);
  EXPECT_EQ(attempt(id).host, "host_2");
  cancel(id);
  until_by_second([&] { return is_ended(id); });
  EXPECT_EQ(failure(id), "cancelled");
  // The first machine comes back: what it still has of the run is of no use any more.
  const auto before = types(id);
  until([&] { return left_in("attempts").empty(); });
  EXPECT_THAT(killed_, AllOf(Not(IsEmpty()), Each(launcher_.keepers.at(0))));
  EXPECT_EQ(types(id), before);
}

TEST_F(TakeoverTest, AWorkerThatLacksWhatARunNeedsLeavesItToOneThatIsThereForIt) {
  runs::Offers plain{.values = {{"runtime", {"codex"}}}, .is_only_one = false};
  auto with_gpu = plain;
  with_gpu.values["gpu"] = {"true"};
  const runs::Node other{.id = "host_3", .role = "worker", .offers = with_gpu, .capacity = 1};
  write([&](store::Transaction& tx) { runs::join(tx, other, runs::Others::may_be_there, now()); });
  runs::NewRun request;
  request.input =
      base::to_text(json::object{{"task", simple_script}, {"requires", json::object{{"gpu", "true"}}}});
  request.task = simple_script;
  request.approval_mode = model::ApprovalMode::manual;
  const auto id = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  config_.claim.offers = with_gpu;
  start();
  until_event(id, "approval.requested");
  config_.claim.offers = plain;
  start_second(Where::another_machine);
  const auto later = std::chrono::steady_clock::now() + 4 * config_.lease;
  until_by_second([&] { return std::chrono::steady_clock::now() >= later; });
  EXPECT_EQ(attempt(id).number, 1);
  EXPECT_FALSE(model::is_terminal(run(id).status));
  write([](store::Transaction& tx) { runs::leave(tx, "host_3"); });
  until_by_second([&] { return is_ended(id); });
  EXPECT_EQ(failure(id), "attempt_lost");
  EXPECT_THAT(second_launcher_.requests, IsEmpty());
}

TEST_F(TakeoverTest, OnAnotherMachineARunWhoseAgentHasBegunIsLostWithWhatIsKnown) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  start_second(Where::another_machine);
  until_by_second([&] { return is_ended(id); });
  EXPECT_EQ(failure(id), "attempt_lost");
  EXPECT_EQ(base::get_string(payload(id, "execution.failed"), "reason"), "outcome_unknown");
  EXPECT_THAT(artifacts(id), SizeIs(6));
  EXPECT_THAT(second_launcher_.requests, IsEmpty());
  EXPECT_THAT(killed_, IsEmpty());
  until([&] { return left_in("attempts").empty(); });
  EXPECT_THAT(killed_, AllOf(Not(IsEmpty()), Each(launcher_.keepers.at(0))));
  EXPECT_EQ(failure(id), "attempt_lost");
}

TEST_F(TakeoverTest, AFetchOfAFrozenWorkerIsBegunAnewAndIsNotTouchedByIt) {
  std::atomic<bool> asked = false;
  launcher_.fetcher = [&asked](int stream, int) {
    (void)keeper::receive_fetch(stream);
    asked = true;
    char order[16];
    (void)::read(stream, order, sizeof order);
  };
  second_launcher_.fetcher = [](int stream, int) {
    (void)keeper::receive_fetch(stream);
    (void)base::write_all(stream, keeper::failed_line({"workspace_ref_not_found", "no such branch"}));
    char order[16];
    (void)::read(stream, order, sizeof order);
  };
  start();
  runs::NewRun request;
  request.input = request.task = "{}";
  request.workspace = {.kind = model::WorkspaceKind::git,
                       .git = {.url = "https://h.test/a.git", .ref = "main"}};
  const auto id = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  until([&] { return asked.load(); });
  start_second(Where::same_machine);
  until_by_second([&] { return is_ended(id); });
  EXPECT_EQ(failure(id), "workspace_failed");
  EXPECT_EQ(attempt(id).number, 2);
  const auto before = types(id);
  let_both_work();
  EXPECT_EQ(types(id), before);
  EXPECT_THAT(killed_, IsEmpty());
  EXPECT_EQ(launcher_.releases, 0);
}

TEST_F(TakeoverTest, AStoreThatWasRestoredElsewhereRepeatsNothingOfItsAttempts) {
  start();
  const auto id = submit(simple_script, model::ApprovalMode::manual);
  until_event(id, "approval.requested");
  stop();
  for (const pid_t keeper : launcher_.keepers) ::kill(keeper, SIGKILL);
  std::filesystem::remove_all(folder_ / "attempts");
  config_.host = "host_3";
  start();
  until_retired(id);
  EXPECT_EQ(failure(id), "attempt_lost");
  EXPECT_THAT(launcher_.requests, SizeIs(1));
}

TEST_F(TakeoverTest, OnAnotherMachineACancelledRunEndsCancelled) {
  start();
  const auto id = submit(endless_script);
  until_event(id, "agent.started");
  cancel(id);
  start_second(Where::another_machine);
  until_by_second([&] { return is_ended(id); });
  EXPECT_EQ(failure(id), "cancelled");
  until([&] { return left_in("attempts").empty(); });
}

}  // namespace
}  // namespace agentrouter::worker
