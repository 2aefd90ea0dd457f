// What a turn begins with and leaves behind, and the files of one that goes on.

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

TEST_F(KeeperTest, ASandboxThatGoesBeforeItsStateIsKeptSaysSo) {
  agent({.says = "say done\n", .takes_sandbox_along = true});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(sandbox_->checkpoints, 0);
  EXPECT_THAT(exit_text(), HasSubstr("cannot keep the state: the sandbox had gone before"));
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
  EXPECT_THAT(sandbox_->reader_argv, ::testing::ElementsAre("agentrouter", "read-files", "live"));
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

}  // namespace
}  // namespace agentrouter::keeper
