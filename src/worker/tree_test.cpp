// What a run stands on: base trees of uploads, and repositories that are fetched first.

#include "keeper/fetch/fetch_plan.h"
#include "worker/fixture_test.h"

namespace agentrouter::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string commit(40, 'c');

class TreeTest : public WorkerTest {
 protected:
  model::RunId submit_on(model::Workspace workspace) {
    runs::NewRun request;
    request.input = base::to_text(json::object{{"task", simple_script}});
    request.task = simple_script;
    request.workspace = std::move(workspace);
    return write([&](store::Transaction& tx) { return runs::create_run(tx, request, now()); })->run.id;
  }
  model::RunId submit_git(const std::string& ref = "main") {
    return submit_on({.kind = model::WorkspaceKind::git, .git = {.url = "https://h.test/a.git", .ref = ref}});
  }
  void make_tree(const std::string& name) {
    const auto made = trees_->make(name, [](int folder) -> base::Result<workspace::UnpackReport> {
      const base::Fd file(::openat(folder, "a", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      return workspace::UnpackReport{1, 0, 0};
    });
    ASSERT_TRUE(made);
  }
  void put_upload(const std::string& tree, base::Time until) {
    const store::Upload upload{
        .id = "upload_1", .sha256 = "s", .tree = tree, .created_at = clock_.now(), .expires_at = until};
    write([&](store::Transaction& tx) { tx.put_upload(upload); });
  }
  std::string cause(const model::RunId& id) {
    const auto found = run(id);
    return found.failure ? found.failure->code + " " + found.failure->cause
                         : std::string(model::to_string(found.status));
  }
  // A fetcher that does its part.
  void fetch_well() {
    launcher_.fetcher = [this](int stream, int folder) {
      auto received = keeper::receive_fetch(stream);
      if (!received) return;
      {
        const std::lock_guard lock(mutex_);
        plans_.push_back(received->plan);
        if (received->credential) credentials_.emplace_back(received->credential->view());
      }
      (void)base::write_all(stream, keeper::resolved_line({commit, "main"}));
      char order[16];
      if (::read(stream, order, sizeof order) <= 0) return;
      const base::Fd tar(::openat(folder, keeper::fetch_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      const std::string nothing(1024, '\0');  // a tar archive without entries
      (void)base::write_all(tar.get(), nothing);
      (void)base::write_all(stream, keeper::fetched_line());
      (void)::read(stream, order, sizeof order);
    };
  }
  void fetch_badly(const std::string& cause) {
    launcher_.fetcher = [cause](int stream, int) {
      (void)keeper::receive_fetch(stream);
      (void)base::write_all(stream, keeper::failed_line({cause, "no good"}));
      char order[16];
      (void)::read(stream, order, sizeof order);
    };
  }

  std::mutex mutex_;
  std::vector<keeper::FetchPlan> plans_;
  std::vector<std::string> credentials_;
};

TEST_F(TreeTest, ARunOfAnUploadStandsOnItsTree) {
  make_tree("upload-1-a");
  put_upload("upload-1-a", clock_.now() + 1h);
  const auto id = submit_on({.kind = model::WorkspaceKind::upload, .upload_id = "upload_1"});
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "completed");
  EXPECT_EQ(launcher_.requests.at(0).lower, trees_->path_of("upload-1-a"));
}

TEST_F(TreeTest, ATreeThatIsGoneFailsTheRun) {
  put_upload("upload-1-gone", clock_.now() + 1h);
  const auto id = submit_on({.kind = model::WorkspaceKind::upload, .upload_id = "upload_1"});
  start();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable");
  EXPECT_TRUE(launcher_.requests.empty());
}

TEST_F(TreeTest, ARepositoryIsFetchedOnceAndTheRunKeepsItsCommit) {
  fetch_well();
  config_.git.credentials["h.test"] = "dTpw";
  const auto first = submit_git();
  start();
  until_retired(first);
  EXPECT_EQ(cause(first), "completed");
  const auto workspace = run(first).workspace;
  EXPECT_EQ(workspace.commit, commit);
  EXPECT_EQ(launcher_.requests.at(1).lower, trees_->path_of(workspace.tree));
  EXPECT_THAT(launcher_.requests.at(0).argv, ElementsAre("agentrouter", "fetcher"));
  EXPECT_EQ(base::to_text(payload(first, "workspace.prepared")),
            R"({"tree":")" + workspace.tree + R"(","commit":")" + commit +
                R"(","branch":"main","files":0,"bytes":0,"cached":false})");
  const auto second = submit_git();
  until_retired(second);
  EXPECT_EQ(payload(second, "workspace.prepared").at("cached"), true);
  EXPECT_EQ(unpacker_.unpacked, 1);
  const auto exact = submit_git(commit);
  until_retired(exact);
  EXPECT_EQ(payload(exact, "workspace.prepared").at("cached"), true);
  EXPECT_EQ(plans_.size(), 2u);  // a commit that is there asks nobody
  EXPECT_THAT(credentials_, ElementsAre("dTpw", "dTpw"));
  EXPECT_THAT(left_in("attempts"), ElementsAre());
}

TEST_F(TreeTest, WhatCannotBeFetchedIsTheCauseOfTheFailure) {
  start();
  for (const char* why :
       {"workspace_auth_failed", "workspace_ref_not_found", "workspace_too_large", "workspace_timeout"}) {
    fetch_badly(why);
    const auto id = submit_git();
    until_retired(id);
    EXPECT_EQ(cause(id), std::string("workspace_failed ") + why);
    EXPECT_THAT(run(id).failure->reason, HasSubstr("no good"));
    EXPECT_THAT(types(id), Contains("workspace.preparing"));
    EXPECT_THAT(types(id), Not(Contains("workspace.prepared")));
  }
}

TEST_F(TreeTest, AFetcherThatBreaksDownOrTalksNonsenseFailsTheRun) {
  start();
  launcher_.fetcher = [](int stream, int) { (void)keeper::receive_fetch(stream); };
  auto id = submit_git();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable");
  launcher_.fetcher = [](int stream, int) {
    (void)keeper::receive_fetch(stream);
    (void)base::write_all(stream, "nonsense\n");
    char order[16];
    (void)::read(stream, order, sizeof order);
  };
  id = submit_git();
  until_retired(id);
  EXPECT_EQ(cause(id), "workspace_failed workspace_unavailable");
}

TEST_F(TreeTest, CancellingWhileItIsFetchedEndsTheFetcherAndTheRun) {
  std::atomic<bool> ended = false;
  launcher_.fetcher = [&ended](int stream, int) {
    (void)keeper::receive_fetch(stream);
    char order[16];
    ended = ::read(stream, order, sizeof order) == 0;  // waits until the worker leaves
  };
  const auto id = submit_git();
  start();
  until_event(id, "workspace.preparing");
  until([&] { return !launcher_.requests.empty(); });
  cancel(id);
  until_retired(id);
  EXPECT_EQ(cause(id), "cancelled");
  until([&] { return ended.load(); });
}

TEST_F(TreeTest, UploadsWhoseTimeIsOverAreForgottenAndTheirTreesMakeRoom) {
  trees_ = base::value_or_throw(workspace::Trees::open(folder_ / "trees", {.max_bytes = 1}, entropy_));
  make_tree("upload-1-a");
  put_upload("upload-1-a", clock_.now() + 1h);
  start();
  until_quiet();
  EXPECT_TRUE(trees_->find("upload-1-a"));
  stop();
  clock_.advance(1h);
  start();
  until([&] { return !trees_->find("upload-1-a"); });
  EXPECT_FALSE(read([](store::Reader& reader) { return reader.upload("upload_1"); }));
}

}  // namespace
}  // namespace agentrouter::worker
