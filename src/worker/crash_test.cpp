// Kills the server at every step of a run in turn and lets the next one finish it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>

#include "base/hash.h"
#include "blobs/fs/fs_blobs.h"
#include "runs/conversations.h"
#include "runs/create.h"
#include "runs/fork.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"
#include "worker/checkpoint_source.h"
#include "worker/rig_test.h"

namespace agentrouter::worker {
namespace {

using namespace std::chrono_literals;

template <class T>
T alone(base::Task<T> task) {
  return testing::run_task(desk(), std::move(task));
}

std::atomic<int> steps_left{-1};

// One step of the server: the last one that it may take kills it.
void step() {
  if (steps_left > 0 && --steps_left == 0) ::kill(::getpid(), SIGKILL);
}

class SteppingListener final : public store::CommitListener {
 public:
  void committed(std::shared_ptr<const std::vector<model::Event>>) override { step(); }
  void run_changed(const model::RunId&, model::RunStatus) override { step(); }
};

class SteppingWriter final : public blobs::BlobWriter {
 public:
  explicit SteppingWriter(std::unique_ptr<blobs::BlobWriter> inner) : inner_(std::move(inner)) {}
  void write(std::string_view bytes) override { inner_->write(bytes); }
  blobs::BlobInfo written() const override { return inner_->written(); }
  blobs::BlobInfo commit() override {
    step();
    auto info = inner_->commit();
    step();
    return info;
  }

 private:
  std::unique_ptr<blobs::BlobWriter> inner_;
};

class SteppingBlobs final : public blobs::BlobStore {
 public:
  explicit SteppingBlobs(std::unique_ptr<blobs::BlobStore> inner) : inner_(std::move(inner)) {}
  std::unique_ptr<blobs::BlobWriter> create(std::string_view key) override {
    return std::make_unique<SteppingWriter>(inner_->create(key));
  }
  base::Result<blobs::Blob> open(std::string_view key, std::string_view sha256) override {
    return inner_->open(key, sha256);
  }
  bool exists(std::string_view key) override { return inner_->exists(key); }
  void remove(std::string_view key) override {
    step();
    inner_->remove(key);
    step();
  }
  void remove_empty(std::string_view folder) override {
    step();
    inner_->remove_empty(folder);
  }

 private:
  std::unique_ptr<blobs::BlobStore> inner_;
};

class SteppingLauncher final : public sandbox::Launcher {
 public:
  SteppingLauncher(int nursery, bool makes_boxes) : inner_(nursery) { inner_.makes_boxes = makes_boxes; }
  base::Result<sandbox::Launched> launch(const sandbox::LaunchRequest& request) override {
    step();
    auto launched = inner_.launch(request);
    step();
    return launched;
  }
  base::Result<void> release(const sandbox::AttemptRef& attempt, sandbox::Remove what) override {
    step();
    auto released = inner_.release(attempt, what);
    step();
    return released;
  }
  base::Result<sandbox::SweepReport> sweep(int attempts) override { return inner_.sweep(attempts); }

 private:
  ScriptedLauncher inner_;
};

bool is_all_done(store::Reader& reader) {
  if (!reader.open_attempts().empty()) return false;
  if (!reader.conversations_to_reclaim(base::system_clock().now(), 1).empty()) return false;
  for (const auto& run : reader.runs({}).items) {
    if (!model::is_terminal(run.status)) return false;
  }
  return true;
}

base::Task<void> serve_until_done(Worker& worker, store::Store& store) {
  for (bool done = false; !done;) {
    co_await base::sleep_for(10ms);
    done = co_await store.read([](store::Reader& reader) { return is_all_done(reader); });
  }
  worker.stop();
}

// "<folder> <steps>"
int server_main(int nursery, const std::string& arguments) {
  const std::filesystem::path folder = arguments.substr(0, arguments.find(' '));
  steps_left = std::stoi(arguments.substr(arguments.find(' ') + 1));
  auto store = base::value_or_throw(store::open_sqlite_store(folder / "test.db"));
  SteppingListener listener;
  store->add_listener(&listener);
  SteppingBlobs blobs(base::value_or_throw(blobs::open_fs_blobs(folder / "blobs")));
  SteppingLauncher launcher(nursery, std::filesystem::exists(folder / "with-layers"));
  ScriptedPreparer preparer;
  asio::io_context io(1);
  WorkerConfig config;
  config.worker_id = "worker";
  config.data_dir = folder;
  config.provider.kind = ProviderKind::sim;
  Worker worker(
      {io.get_executor(), *store, blobs, launcher, preparer, base::system_clock(), base::system_entropy()},
      config);
  asio::co_spawn(io.get_executor(), worker.run(), [](std::exception_ptr error) { ::_exit(error ? 2 : 0); });
  asio::co_spawn(io.get_executor(), serve_until_done(worker, *store), [](std::exception_ptr error) {
    if (error) ::_exit(3);
  });
  io.run();
  return 4;
}

const Nursery nursery(&server_main);

constexpr std::string_view script =
    R"({"says":"event agent.started {\"provider\":\"codex\"}\nevent agent.message {\"text\":\"hi\"}\nsay all done\n"})";

class CrashTest : public ::testing::Test {
 protected:
  struct Place {
    testing::TempDir folder;
    model::RunId first;  // and the conversation's id
    model::RunId run;    // the newest
  };

  template <class Work>
  static auto write(const Place& place, Work work) {
    auto store = base::value_or_throw(store::open_sqlite_store(place.folder / "test.db"));
    auto result = alone(store->write(std::move(work)));
    store->close();
    return result;
  }
  template <class Work>
  static auto read(const Place& place, Work work) {
    auto store = base::value_or_throw(store::open_sqlite_store(place.folder / "test.db"));
    auto result = alone(store->read(std::move(work)));
    store->close();
    return result;
  }
  static runs::Context now() { return {base::system_clock(), base::system_entropy()}; }

  static void submit(Place& place) {
    runs::NewRun request;
    request.task = script;
    request.input = base::to_text(json::object{{"task", request.task}});
    const auto created =
        write(place, [&](store::Transaction& tx) { return runs::create_run(tx, request, now()); });
    place.run = place.first = created->run.id;
  }
  static void go_on(Place& place) {
    const runs::ContinueRequest request{.run = place.first, .message = std::string(script)};
    const auto continued =
        write(place, [&](store::Transaction& tx) { return runs::continue_run(tx, request, now()); });
    place.run = base::value_or_throw(continued).run.id;
  }
  // A fork of the first turn; the conversation itself is closed.
  static void fork_and_close(Place& place) {
    const runs::ForkRequest request{.run = place.first, .message = std::string(script), .at_turn = 1};
    const auto forked = write(place, [&](store::Transaction& tx) {
      auto made = runs::fork_run(tx, request, now());
      base::value_or_throw(runs::close_conversation(tx, place.first, now()));
      return made;
    });
    place.run = base::value_or_throw(forked).run.id;
  }
  // `place` with what `other` has come to.
  static void copy(const Place& other, Place& place) {
    std::filesystem::remove_all(other.folder / "gone");  // it may hold sockets, which are not copied
    std::filesystem::copy(other.folder.path(), place.folder.path(), std::filesystem::copy_options::recursive);
    place.first = other.first;
    place.run = other.run;
  }
  // True when it was killed by its own step, false when it finished everything.
  static bool serve(const Place& place, int steps) {
    const pid_t pid =
        Nursery::start(nursery.socket(), place.folder.path().string() + " " + std::to_string(steps));
    const base::Fd process = open_pidfd(pid);
    pollfd ended{process.get(), POLLIN, 0};
    if (process) {
      EXPECT_EQ(::poll(&ended, 1, 60'000), 1) << "the server hangs after " << steps << " steps";
    }
    return !read(place, [](store::Reader& reader) { return is_all_done(reader); });
  }
  static std::string blob(const Place& place, std::string_view key) {
    auto blobs = base::value_or_throw(blobs::open_fs_blobs(place.folder / "blobs"));
    auto found = blobs->open(key, {});
    return found ? base::value_or_throw(base::read_all(found->fd.get(), 1u << 20)) : "no such blob";
  }

  enum class Begins { fresh, restored };
  static void check(const Place& place, Begins begins = Begins::fresh) {
    const auto run = read(place, [&](store::Reader& reader) { return *reader.run(place.run); });
    EXPECT_EQ(run.status, model::RunStatus::completed) << run.to_wire();
    const auto events = read(place, [&](store::Reader& reader) { return reader.events(place.run, 0, 1000); });
    std::vector<std::string> types;
    for (std::size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(events[i].sequence, static_cast<model::Seq>(i + 1));
      if (events[i].type != "run.attempt_started") types.push_back(events[i].type);
    }
    std::vector<std::string> expected{"run.claimed", "sandbox.created", "credential_boundary.verified"};
    if (begins == Begins::restored) expected = {"run.claimed", "sandbox.resumed"};
    for (const char* type :
         {"action.proposed", "policy.evaluated", "execution.started", "agent.started", "agent.message",
          "agent.completed", "execution.completed", "provider.stdout", "provider.stderr", "agent.response",
          "usage.recorded", "workspace.file_index_collected", "workspace.patch_collected",
          "checkpoint.created", "sandbox.destroyed", "run.completed"})
      expected.emplace_back(type);
    EXPECT_EQ(types, expected);
    check_artifacts(place, events.size(), begins == Begins::restored ? 7 : 6);
    EXPECT_TRUE(std::filesystem::is_empty(place.folder / "attempts"));
  }
  static void check_artifacts(const Place& place, std::size_t events, std::size_t count) {
    const auto artifacts = read(place, [&](store::Reader& reader) { return reader.artifacts(place.run); });
    EXPECT_EQ(artifacts.size(), count);
    for (const auto& artifact : artifacts) {
      const auto bytes = blob(place, artifact.r2_key);
      EXPECT_EQ(base::Sha256::hex_of(bytes), artifact.sha256) << artifact.kind;
      if (artifact.kind == "session_events") {
        EXPECT_EQ(static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '\n')), events);
      }
    }
  }
  // What each turn has left: the turn before's, and its own.
  static void check_checkpoints(const Place& place, int turns) {
    const auto kept = read(place, [&](store::Reader& reader) { return reader.checkpoints(place.first); });
    ASSERT_EQ(kept.size(), static_cast<std::size_t>(turns));
    std::string expected;
    for (const auto& checkpoint : kept) {
      expected += "a checkpoint";
      EXPECT_EQ(blob(place, checkpoint.key), expected);
      EXPECT_EQ(checkpoint.sha256, base::Sha256::hex_of(expected));
      EXPECT_EQ(checkpoint.size_bytes, static_cast<std::int64_t>(expected.size()));
    }
  }
};

TEST_F(CrashTest, ServerKilledAtAnyStepLosesAndDoublesNothing) {
  int killed = 0;
  for (int steps = 1; steps < 200; ++steps) {
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    Place place;
    submit(place);
    const bool unfinished = serve(place, steps);
    if (unfinished) {
      ++killed;
      EXPECT_FALSE(serve(place, -1));
    }
    check(place);
    check_checkpoints(place, 1);
    if (HasFailure() || !unfinished) break;
  }
  EXPECT_GT(killed, 20);
}

TEST_F(CrashTest, ServerKilledAlongALaterTurnGoesOnFromTheSameState) {
  Place one;
  submit(one);
  ASSERT_FALSE(serve(one, -1));
  go_on(one);
  int killed = 0;
  for (int steps = 1; steps < 200; steps += 5) {
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    Place place;
    copy(one, place);
    const bool unfinished = serve(place, steps);
    if (unfinished) {
      ++killed;
      EXPECT_FALSE(serve(place, -1));
    }
    check(place, Begins::restored);
    check_checkpoints(place, 2);
    if (HasFailure() || !unfinished) break;
  }
  EXPECT_GT(killed, 4);
}

TEST_F(CrashTest, ServerKilledAlongATurnOnKeptLayersGoesOnFromThem) {
  int killed = 0;
  for (int steps = 2; steps < 200; steps += 6) {
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    Place place;
    ASSERT_TRUE(base::write_file_durably(place.folder / "with-layers", ""));
    submit(place);
    ASSERT_FALSE(serve(place, -1));
    EXPECT_TRUE(std::filesystem::exists(place.folder / "layers/kept" / place.first.str() / "upper"));
    go_on(place);
    const bool unfinished = serve(place, steps);
    if (unfinished) {
      ++killed;
      EXPECT_FALSE(serve(place, -1));
    }
    check(place, Begins::restored);
    // It stood on the layer: nothing was restored into what it left.
    EXPECT_EQ(blob(place, checkpoint_key(place.run)), "a checkpoint");
    EXPECT_TRUE(std::filesystem::is_empty(place.folder / "layers/uses"));
    if (HasFailure() || !unfinished) break;
  }
  EXPECT_GT(killed, 4);
}

TEST_F(CrashTest, ServerKilledAtAnyStepOfReclaimingLeavesNoCheckpoint) {
  Place one;
  submit(one);
  ASSERT_FALSE(serve(one, -1));
  go_on(one);
  ASSERT_FALSE(serve(one, -1));
  check_checkpoints(one, 2);
  ASSERT_TRUE(
      write(one, [&](store::Transaction& tx) { return runs::close_conversation(tx, one.first, now()); }));
  int killed = 0;
  for (int steps = 1; steps < 50; ++steps) {
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    Place place;
    copy(one, place);
    const bool unfinished = serve(place, steps);
    if (unfinished) {
      ++killed;
      EXPECT_FALSE(serve(place, -1));
    }
    check_checkpoints(place, 0);
    for (const auto& run : {place.first, place.run})
      EXPECT_EQ(blob(place, checkpoint_key(run)), "no such blob");
    EXPECT_TRUE(
        read(place, [&](store::Reader& reader) { return reader.conversation(place.first)->reclaimed; }));
    check(place, Begins::restored);
    if (HasFailure() || !unfinished) break;
  }
  EXPECT_GE(killed, 4);
}

TEST_F(CrashTest, ServerKilledWhileItReclaimsKeepsWhatAForkBeginsWith) {
  Place one;
  submit(one);
  ASSERT_FALSE(serve(one, -1));
  go_on(one);
  ASSERT_FALSE(serve(one, -1));
  const auto second = one.run;
  fork_and_close(one);
  int killed = 0;
  for (int steps = 1; steps < 200; steps += 3) {
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    Place place;
    copy(one, place);
    const bool unfinished = serve(place, steps);
    if (unfinished) {
      ++killed;
      EXPECT_FALSE(serve(place, -1));
    }
    check_checkpoints(place, 0);
    EXPECT_EQ(blob(place, checkpoint_key(second)), "no such blob");
    EXPECT_EQ(blob(place, checkpoint_key(place.first)), "a checkpoint");
    EXPECT_EQ(blob(place, checkpoint_key(place.run)), "a checkpointa checkpoint");
    check(place, Begins::restored);
    if (HasFailure() || !unfinished) break;
  }
  EXPECT_GE(killed, 4);
}

TEST_F(CrashTest, TwoKillsInOneRunLoseAndDoubleNothing) {
  for (const auto& [first, second] : {std::pair{4, 2}, {6, 3}, {8, 6}, {10, 9}, {14, 2}, {20, 3}}) {
    SCOPED_TRACE("killed at steps " + std::to_string(first) + " and " + std::to_string(second));
    Place place;
    submit(place);
    EXPECT_TRUE(serve(place, first));
    serve(place, second);
    EXPECT_FALSE(serve(place, -1));
    check(place);
  }
}

}  // namespace
}  // namespace agentrouter::worker
