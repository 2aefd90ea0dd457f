// A run on a clone, as the store knows it, pushed by the real agentrouter-git.

#include "apps/push_desk.h"

#include <csignal>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "base/file.h"
#include "blobs/fs/fs_blobs.h"
#include "store/sqlite/sqlite_store.h"
#include "testing/builders.h"
#include "testing/run_task.h"
#include "testing/temp_dir.h"
#include "worker/checkpoint_source.h"
#include "workspace/checkpoint.h"

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Where a test runs single tasks. It outlives every store, whose threads hold on to it for a moment longer.
asio::io_context& push_loop() {
  static asio::io_context io(1);
  return io;
}

class PushDeskTest : public ::testing::Test {
 protected:
  PushDeskTest() {
    ::signal(SIGPIPE, SIG_IGN);  // as the server does
    shell("mkdir -p trees/t1 && git init -q -b main trees/t1/tree && cd trees/t1/tree && echo base > a && git add a && git commit -qm base");
    shell("git clone -q --bare trees/t1/tree remote.git");
    commit_ = said("git -C trees/t1/tree rev-parse HEAD");
    config_.allow.push_back(base::value_or_throw(parse_push_rule("file://" + folder_.path().string() + "/* work/*")));
  }

  void shell(const std::string& command) const {
    const std::string git = "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=t "
                            "GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t; ";
    ASSERT_EQ(std::system((git + "cd " + folder_.path().string() + " && " + command).c_str()), 0) << command;
  }
  std::string said(const std::string& command) const {
    shell(command + " > said");
    std::ifstream in(folder_ / "said");
    std::string line;
    std::getline(in, line);
    return line;
  }

  // An ended run whose agent left `content` in "a".
  model::RunId ended(const std::string& content, bool of_git = true) {
    fs::create_directories(folder_ / "upper");
    fs::create_directories(folder_ / "home");
    std::ofstream(folder_ / "upper/a") << content;
    auto run = testing::make_run("pushed");
    run.workspace.kind = of_git ? model::WorkspaceKind::git : model::WorkspaceKind::path;
    run.workspace.path = of_git ? "" : (folder_ / "trees/t1/tree").string();
    run.workspace.tree = of_git ? "t1" : "";
    run.workspace.git.url = "file://" + (folder_ / "remote.git").string();
    run.workspace.commit = commit_;
    run.completed_at = testing::test_time(5000);
    store::Attempt attempt{.id = model::AttemptId("attempt_1"), .run_id = run.id, .worker_id = "w"};
    attempt.lower_path = run.workspace.path;
    store::Checkpoint checkpoint{.run_id = run.id, .conversation_id = run.id, .key = worker::checkpoint_key(run.id)};
    keep(checkpoint);
    testing::run_task(push_loop(), store_->write([&](store::Transaction& tx) {
      tx.insert_run(run);
      tx.insert_attempt(attempt);
      tx.put_checkpoint(checkpoint);
      run.status = model::RunStatus::completed;
      tx.update_run(run);
    }));
    return run.id;
  }
  void keep(store::Checkpoint& checkpoint) {
    const base::Fd upper(::open((folder_ / "upper").c_str(), O_RDONLY | O_DIRECTORY)),
        home(::open((folder_ / "home").c_str(), O_RDONLY | O_DIRECTORY));
    base::Fd out(::open((folder_ / "state").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    const auto report = base::value_or_throw(workspace::write_checkpoint({workspace::Stack::of({upper.get()}), workspace::Stack::of({home.get()}), out.get()}, {}));
    ::lseek(out.get(), 0, SEEK_SET);
    base::value_or_throw(blobs_->put_from(checkpoint.key, out.get(), 1 << 20));
    checkpoint.sha256 = report.sha256;
  }

  base::Result<api::PushAnswer> push(const model::RunId& run, const std::string& branch = "work/1") {
    PushDesk desk({*store_, *blobs_, folder_.path().string(), program_}, config_);
    return testing::run_task(push_loop(), desk.push(run, {branch, "message", {}}));
  }
  std::string reason(const model::RunId& run, const std::string& branch = "work/1") {
    const auto answer = push(run, branch);
    return answer ? "pushed" : answer.error().reason;
  }

  testing::TempDir folder_;
  std::string commit_;
  PushConfig config_;
  std::string program_ = AGENTROUTER_GIT_PROGRAM;
  std::unique_ptr<store::Store> store_ = base::value_or_throw(store::open_sqlite_store(folder_ / "db"));
  std::unique_ptr<blobs::BlobStore> blobs_ = base::value_or_throw(blobs::open_fs_blobs(folder_ / "blobs"));
};

TEST_F(PushDeskTest, AnAllowedBranchGetsTheCommit) {
  const auto run = ended("changed\n");
  const auto answer = push(run);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->files, 1u);
  EXPECT_EQ(answer->commit, said("git -C remote.git rev-parse work/1"));
  EXPECT_EQ(said("git -C remote.git log -1 '--format=%an <%ae> %at' work/1"),
            "AgentRouter <agentrouter@localhost> " + std::to_string(testing::test_epoch_ms / 1000 + 5));
  EXPECT_EQ(push(run)->commit, answer->commit);
  EXPECT_TRUE(fs::is_empty(folder_ / "push"));
}

TEST_F(PushDeskTest, WhatIsNotAllowedIsToldWithTheRuleThatWouldAllowIt) {
  const auto run = ended("changed\n");
  const auto answer = push(run, "main");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "push_forbidden");
  EXPECT_THAT(answer.error().message, HasSubstr("remote.git main\" to [push] allow"));
}

TEST_F(PushDeskTest, RunsThatCannotBePushedAreToldApart) {
  EXPECT_EQ(reason(model::RunId("run_nobody")), "run_not_found");
  EXPECT_EQ(reason(ended("base\n")), "no_changes");
}

TEST_F(PushDeskTest, AFolderIsNoClone) {
  EXPECT_EQ(reason(ended("changed\n", false)), "no_git_workspace");
}

TEST_F(PushDeskTest, AnActiveRunIsNotPushed) {
  auto run = testing::make_run("active");
  testing::run_task(push_loop(), store_->write([&](store::Transaction& tx) { tx.insert_run(run); }));
  EXPECT_EQ(reason(run.id), "run_not_ended");
}

TEST_F(PushDeskTest, APushThatTakesTooLongOrFailsLeavesNothing) {
  const auto run = ended("changed\n");
  std::ofstream(folder_ / "slow") << "#!/bin/sh\nexec sleep 600\n";
  fs::permissions(folder_ / "slow", fs::perms::owner_all);
  program_ = (folder_ / "slow").string();
  config_.timeout = std::chrono::seconds(0);
  EXPECT_EQ(reason(run), "push_timeout");
  config_.timeout = std::chrono::seconds(20);
  program_ = "/bin/true";
  EXPECT_EQ(push(run).error().code, base::Code::unavailable);
  program_ = (folder_ / "nothing").string();
  EXPECT_EQ(push(run).error().code, base::Code::unavailable);
  EXPECT_TRUE(fs::is_empty(folder_ / "push"));
}

TEST_F(PushDeskTest, WhatAKilledServerLeftIsRemoved) {
  fs::create_directories(folder_ / "push/left/objects");
  EXPECT_EQ(reason(ended("changed\n")), "pushed");
  EXPECT_FALSE(fs::exists(folder_ / "push/left"));
}

TEST_F(PushDeskTest, BytesThatAreGoneAreGone) {
  const auto run = ended("changed\n");
  blobs_->remove(worker::checkpoint_key(run));
  EXPECT_EQ(reason(run), "files_gone");
  fs::remove_all(folder_ / "trees");
  EXPECT_EQ(reason(run), "files_gone");
}

}  // namespace
}  // namespace agentrouter::apps
