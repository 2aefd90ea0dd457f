#pragma once
// For tests of this room: a worker on a store of its own, with verbs. Keepers are the nursery's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <system_error>

#include "base/gzip.h"
#include "base/hash.h"
#include "blobs/fs/fs_blobs.h"
#include "runs/cancel.h"
#include "runs/create.h"
#include "runs/decide.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/fixed_entropy.h"
#include "testing/manual_clock.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"
#include "worker/rig_test.h"
#include "worker/shared_trees.h"

namespace agentrouter::worker {

using namespace std::chrono_literals;

// Forked before main() starts a thread.
inline const Nursery keeper_nursery(nullptr);

inline constexpr std::string_view simple_script =
    R"({"says":"event agent.started {\"provider\":\"codex\"}\nsay all done\n"})";
inline constexpr std::string_view endless_script =
    R"({"says":"event agent.started {\"provider\":\"codex\"}\n"})";

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    ::signal(SIGPIPE, SIG_IGN);
    config_.worker_id = "worker_1";
    config_.data_dir = folder_.path();
    config_.concurrency = 4;
    config_.provider.kind = ProviderKind::sim;
    config_.cancel_grace = 50ms;
    config_.cancel_patience = 300ms;
    config_.cancel_bound = 300ms;
    config_.launch_wait = 10s;
  }
  ~WorkerTest() override {
    stop();
    for (const pid_t keeper : launcher_.keepers) ::kill(keeper, SIGKILL);
  }

  void start() {
    worker_ =
        std::make_unique<Worker>(Worker::Needs{io_.get_executor(), *store_, *blobs_, launcher_, preparer_,
                                               clock_, entropy_, kill_, trees_.get(), &unpacker_,
                                               connect_by_socket, vault_.get(), shared_.get()},
                                 config_);
    running_ = true;
    asio::co_spawn(io_.get_executor(), worker_->run(), [this](std::exception_ptr error) {
      running_ = false;
      broken_ = error;
    });
  }
  void stop() {
    if (!worker_) return;
    worker_->stop();
    while (running_ && io_.run_one() != 0) {
    }
    EXPECT_FALSE(broken_);
    io_.restart();
    worker_.reset();
  }

  template <class Work>
  auto write(Work work) {
    return testing::run_task(desk(), store_->write(std::move(work)));
  }
  template <class Work>
  auto read(Work work) {
    return testing::run_task(desk(), store_->read(std::move(work)));
  }
  model::RunId submit(std::string_view script, model::ApprovalMode mode = model::ApprovalMode::automatic,
                      const std::string& workspace = {}) {
    runs::NewRun request;
    request.input = base::to_text(json::object{{"task", script}});
    request.task = script;
    request.approval_mode = mode;
    if (!workspace.empty()) request.workspace = {.kind = model::WorkspaceKind::path, .path = workspace};
    const auto created = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); });
    return created->run.id;
  }
  runs::Context now() { return {clock_, entropy_}; }
  model::Run run(const model::RunId& id) {
    return *read([&](store::Reader& reader) { return reader.run(id); });
  }
  std::vector<model::Event> events(const model::RunId& id) {
    return read([&](store::Reader& reader) { return reader.events(id, 0, 1000); });
  }
  std::vector<std::string> types(const model::RunId& id) {
    std::vector<std::string> all;
    for (const auto& event : events(id)) all.push_back(event.type);
    return all;
  }
  json::object payload(const model::RunId& id, std::string_view type) {
    for (const auto& event : events(id)) {
      if (event.type == type) return base::value_or_throw(base::parse_json(event.payload)).as_object();
    }
    return {};
  }
  std::vector<model::Artifact> artifacts(const model::RunId& id) {
    return read([&](store::Reader& reader) { return reader.artifacts(id); });
  }
  std::string blob(const model::RunId& id, std::string_view kind) {
    for (const auto& artifact : artifacts(id)) {
      if (artifact.kind != kind) continue;
      auto found = blobs_->open(artifact.r2_key, artifact.sha256);
      std::string bytes = base::value_or_throw(base::read_all(found->fd.get(), 64u << 20));
      EXPECT_EQ(static_cast<std::int64_t>(bytes.size()), artifact.size_bytes);
      EXPECT_EQ(base::Sha256::hex_of(bytes), artifact.sha256);
      return bytes;
    }
    return "no such artifact";
  }
  template <class Condition>
  void until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it never happens";
      io_.run_one_for(20ms);
      io_.restart();
    }
  }
  void until_retired(const model::RunId& id) {
    until([&] { return model::is_terminal(run(id).status) && open_attempts() == 0; });
  }
  std::size_t open_attempts() {
    return read([](store::Reader& reader) { return reader.open_attempts().size(); });
  }
  void until_event(const model::RunId& id, const std::string& type) {
    until([&] {
      const auto all = types(id);
      return std::find(all.begin(), all.end(), type) != all.end();
    });
  }
  // Enough of the worker's time for what it must not do.
  void until_quiet() {
    for (int i = 0; i < 5; ++i) {
      io_.run_one_for(20ms);
      io_.restart();
    }
  }
  void decide(const model::RunId& id, runs::Decision decision) {
    const auto asked = payload(id, "approval.requested");
    const auto event = write([&](store::Transaction& tx) {
      return runs::decide_action(
          tx,
          {.run = id,
           .action = model::ActionId(std::string(*base::get_string(asked, "actionId"))),
           .action_digest = std::string(*base::get_string(asked, "actionDigest")),
           .decision = decision},
          now());
    });
    ASSERT_TRUE(event) << event.error().message;
  }
  void cancel(const model::RunId& id) {
    ASSERT_TRUE(write([&](store::Transaction& tx) { return runs::cancel_run(tx, id, now()); }));
  }
  std::string failure(const model::RunId& id) {
    const auto found = run(id);
    return found.failure ? found.failure->code : std::string(model::to_string(found.status));
  }
  std::vector<std::string> left_in(std::string_view name) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / name, ignored)) {
      if (!entry.is_directory() || name == "attempts") names.push_back(entry.path().string());
    }
    return names;
  }

  testing::TempDir folder_;
  testing::ManualClock clock_;
  testing::FixedEntropy entropy_;
  asio::io_context io_{1};  // outlives the store, whose threads post to it
  std::unique_ptr<store::Store> store_ = base::value_or_throw(store::open_sqlite_store(folder_ / "test.db"));
  std::unique_ptr<blobs::BlobStore> blobs_ = base::value_or_throw(blobs::open_fs_blobs(folder_ / "blobs"));
  std::unique_ptr<workspace::Trees> trees_ =
      base::value_or_throw(workspace::Trees::open(folder_ / "trees", {}, entropy_));
  DirectUnpacker unpacker_;
  ScriptedLauncher launcher_{keeper_nursery.socket()};
  ScriptedPreparer preparer_;
  std::unique_ptr<vault::Vault> vault_;  // none, unless a test makes one
  WorkerConfig config_;
  KillKeeper kill_ = kill_process;
  std::unique_ptr<SharedTrees> shared_;  // where trees are kept for other machines
  std::unique_ptr<Worker> worker_;
  bool running_ = false;
  std::exception_ptr broken_;
};

}  // namespace agentrouter::worker
