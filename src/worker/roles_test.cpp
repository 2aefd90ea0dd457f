// One of several workers: what it takes, what it leaves to others, and trees that another machine has kept.

#include <boost/asio/co_spawn.hpp>

#include "runs/nodes.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

class RolesTest : public WorkerTest {
 protected:
  RolesTest() { config_.owns_store = false; }
  model::RunId submit_requiring(const std::string& name, const std::string& value) {
    runs::NewRun request;
    request.input =
        base::to_text(json::object{{"task", simple_script}, {"requires", json::object{{name, value}}}});
    request.task = simple_script;
    return write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  }
  void join(const std::string& id, runs::Offers offers) {
    const runs::Node node{.id = id, .role = "worker", .offers = std::move(offers), .capacity = 1};
    write([&](store::Transaction& tx) { runs::join(tx, node, runs::Others::may_be_there, now()); });
  }
  static runs::Offers codex_only() { return {.values = {{"runtime", {"codex"}}}, .is_only_one = false}; }
};

TEST_F(RolesTest, AWorkerLeavesWhatItCannotCarryOutToOthers) {
  config_.claim.offers = codex_only();
  const auto gpu = submit_requiring("gpu", "true");
  const auto plain = submit(simple_script);
  start();
  until_retired(plain);
  EXPECT_EQ(run(gpu).status, model::RunStatus::queued);
}

TEST_F(RolesTest, ADrainedWorkerTakesNothingUntilThatIsTakenBack) {
  start();
  worker_->drain(true);
  const auto id = submit(simple_script);
  until_quiet();
  EXPECT_EQ(run(id).status, model::RunStatus::queued);
  worker_->drain(false);
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
}

TEST_F(RolesTest, ADrainedWorkerFinishesWhatItHas) {
  const auto id = submit(endless_script);
  start();
  until_event(id, "agent.started");
  EXPECT_EQ(worker_->active(), 1);
  worker_->drain(true);
  bool idle = false;
  asio::co_spawn(io_.get_executor(), worker_->idle(), [&idle](std::exception_ptr) { idle = true; });
  until_quiet();
  EXPECT_FALSE(idle);
  cancel(id);
  until([&] { return idle; });
  EXPECT_EQ(failure(id), "cancelled");
  EXPECT_EQ(worker_->active(), 0);
}

TEST_F(RolesTest, RunsThatNobodyCanTakeFailAfterTheTimeThatWasSaid) {
  config_.unplaceable_after = 50ms;
  config_.claim.offers = codex_only();
  join("host_a", codex_only());
  const auto id = submit_requiring("gpu", "true");
  clock_.advance(1min);
  start();
  until([&] { return model::is_terminal(run(id).status); });
  EXPECT_EQ(failure(id), "unplaceable");
  EXPECT_NE(run(id).failure->reason.find("gpu=true"), std::string::npos);
}

TEST_F(RolesTest, RunsThatOnlyABusyWorkerCanTakeGoOnWaiting) {
  config_.unplaceable_after = 50ms;
  config_.claim.offers = codex_only();
  auto with_gpu = codex_only();
  with_gpu.values["gpu"] = {"true"};
  join("host_a", with_gpu);
  const auto waits = submit_requiring("gpu", "true");
  const auto fails = submit_requiring("gpu", "false");
  clock_.advance(1min);
  start();
  until([&] { return model::is_terminal(run(fails).status); });
  EXPECT_EQ(run(waits).status, model::RunStatus::queued);
}

TEST_F(RolesTest, OnlyTheOneThatHasTheDutyThrowsAnythingAway) {
  bool mine = false;
  config_.may_tidy = [&mine] { return mine; };
  config_.conversations.one_shot_grace = 0min;
  start();
  const auto id = submit(simple_script);
  until_retired(id);
  const auto reclaimed = [&] {
    return read([&](store::Reader& reader) { return reader.conversation(id)->reclaimed; });
  };
  until_quiet();
  EXPECT_FALSE(reclaimed());
  mine = true;
  worker_->duties_changed();
  until(reclaimed);
}

TEST_F(RolesTest, APathIsLookedAtAgainWhereTheRunIsCarriedOut) {
  config_.admit_path = [](std::string_view path) -> base::Result<std::string> {
    return base::fail(base::Code::invalid, "no folder " + std::string(path), "workspace_not_found");
  };
  const auto id = submit(simple_script, model::ApprovalMode::automatic, "/srv/a");
  start();
  until_retired(id);
  EXPECT_EQ(failure(id), "workspace_failed");
  EXPECT_EQ(run(id).failure->cause, "workspace_not_found");
  EXPECT_TRUE(launcher_.requests.empty());
}

// Two machines: each has trees of its own, the store and the blobs are the same.
class SharedTreesTest : public RolesTest {
 protected:
  SharedTreesTest() : here_(needs(*trees_)), there_(needs(*other_trees_)) {}
  SharedTrees::Needs needs(workspace::Trees& trees) {
    return {*store_, *blobs_, pool_, trees, unpacker_, clock_, entropy_, {}, {}};
  }
  // A tar with one file of that name.
  base::Fd tar_with(const std::string& name) {
    std::string tar(512, '\0');
    tar.replace(0, name.size(), name);
    tar.replace(100, 7, "0000644");
    tar.replace(124, 11, "00000000000");
    tar.replace(136, 11, "00000000000");
    tar[156] = '0';
    tar.replace(257, 5, "ustar");
    tar.replace(263, 2, "00");
    tar.replace(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : tar) sum += static_cast<unsigned char>(c);
    char digits[8];
    std::snprintf(digits, sizeof digits, "%06o", sum);
    tar.replace(148, 7, std::string(digits, 6) + '\0');
    tar += std::string(1024, '\0');
    const auto path = (folder_ / ("tar-" + name)).string();
    base::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    base::value_or_throw(base::write_all(file.get(), tar));
    return file;
  }
  base::Result<void> keep(const std::string& tree, const std::string& file) {
    std::vector<TreePart> parts;
    parts.push_back({{}, tar_with(file)});
    return testing::run_task(desk(), here_.keep(tree, runs::KeptTree::Source::upload, parts));
  }
  base::Result<workspace::Trees::Held> get(SharedTrees& shared, const std::string& tree) {
    return testing::run_task(desk(), shared.get(tree, "label"));
  }
  std::string key_of(const std::string& tree) {
    return read([&](store::Reader& reader) { return runs::kept_tree(reader, tree)->parts.at(0).key; });
  }

  base::Pool pool_{1};
  std::unique_ptr<workspace::Trees> other_trees_ =
      base::value_or_throw(workspace::Trees::open(folder_ / "other", {}, entropy_));
  SharedTrees here_;
  SharedTrees there_;
};

TEST_F(SharedTreesTest, ATreeIsMadeOnAnotherMachineOutOfItsArchiveAndStaysThere) {
  ASSERT_TRUE(keep("upload-1-a", "a.txt"));
  const auto made = get(there_, "upload-1-a");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_FALSE(made->cached);
  EXPECT_TRUE(std::filesystem::exists(made->path / "a.txt"));
  blobs_->remove(key_of("upload-1-a"));
  EXPECT_TRUE(get(there_, "upload-1-a")->cached);
  const auto any = testing::run_task(desk(), there_.get_any("upload-1-", "label"));
  EXPECT_EQ(any->name, "upload-1-a");
}

TEST_F(SharedTreesTest, KeepingItAgainLeavesOneArchive) {
  ASSERT_TRUE(keep("upload-1-a", "a.txt"));
  const auto key = key_of("upload-1-a");
  ASSERT_TRUE(keep("upload-1-a", "a.txt"));
  EXPECT_EQ(key_of("upload-1-a"), key);
  EXPECT_EQ(left_in("blobs/trees").size(), 1u);
}

TEST_F(SharedTreesTest, WhatNobodyHasKeptIsNotFound) {
  EXPECT_EQ(get(there_, "upload-1-none").error().code, base::Code::not_found);
}

TEST_F(SharedTreesTest, AnArchiveThatIsNotWhatWasWrittenMakesNoTree) {
  ASSERT_TRUE(keep("upload-1-a", "a.txt"));
  blobs_->put(key_of("upload-1-a"), "something else");
  EXPECT_EQ(get(there_, "upload-1-a").error().code, base::Code::corrupt);
  EXPECT_FALSE(other_trees_->find("upload-1-a"));
}

TEST_F(SharedTreesTest, ARunOfAnUploadToAnotherMachineFindsItsFiles) {
  ASSERT_TRUE(keep("upload-1-a", "a.txt"));
  const store::Upload upload{.id = "upload_1",
                             .sha256 = "s",
                             .tree = "upload-1-a",
                             .created_at = clock_.now(),
                             .expires_at = clock_.now() + 1h};
  write([&](store::Transaction& tx) { tx.put_upload(upload); });
  trees_ = base::value_or_throw(workspace::Trees::open(folder_ / "third", {}, entropy_));
  shared_ = std::make_unique<SharedTrees>(needs(*trees_));
  runs::NewRun request;
  request.input = base::to_text(json::object{{"task", simple_script}});
  request.task = simple_script;
  request.workspace = {.kind = model::WorkspaceKind::upload, .upload_id = "upload_1"};
  const auto id = write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  start();
  until_retired(id);
  EXPECT_EQ(failure(id), "completed");
  EXPECT_EQ(launcher_.requests.at(0).lower, trees_->path_of("upload-1-a"));
}

TEST_F(SharedTreesTest, AnArchiveThatNothingNeedsIsRemoved) {
  shared_ = std::make_unique<SharedTrees>(needs(*trees_));
  ASSERT_TRUE(keep("upload-1-a", "a.txt"));
  clock_.advance(2h);
  start();
  until([&] { return left_in("blobs/trees").empty(); });
  EXPECT_FALSE(read([&](store::Reader& reader) { return runs::kept_tree(reader, "upload-1-a"); }));
}

}  // namespace
}  // namespace agentrouter::worker
