// Turns that stand on the layers of the turns before: nothing is restored, the rest is as ever.

#include "keeper/keeper_fixture_test.h"

namespace agentrouter::keeper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class KeeperOnLayersTest : public KeeperTest {
 protected:
  KeeperOnLayersTest() {
    plan_.kept = true;
    plan_.resume_thread = "t7";
  }
};

TEST_F(KeeperOnLayersTest, ATurnGoesOnWithoutRestoringAnything) {
  agent({.says = "say ok\n"});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(sandbox_->restorations, 0);
  EXPECT_EQ(sandbox_->turn_began_with, "layers");
  EXPECT_EQ(file("turn.patch"), "a turn's patch");
  EXPECT_THAT(exit_text(), HasSubstr(R"("turnPatch":{"bytes":14,)"));
  EXPECT_THAT(kinds(),
              ElementsAre("hello", "sandbox.resumed", "action.proposed", "policy.evaluated", "released",
                          "execution.started", "agent.completed", "execution.completed", "exit"));
}

TEST_F(KeeperOnLayersTest, WithoutTheMemoryOfAnotherAgentTheSandboxIsANewOne) {
  plan_.files_only = true;
  plan_.resume_thread.clear();
  agent({.says = "say ok\n"});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(kinds()[1], "sandbox.created");
  EXPECT_EQ(sandbox_->turn_began_with, "layers");
}

TEST_F(KeeperOnLayersTest, AnAgentThatWasNeverReleasedHasNoPatchOfItsOwn) {
  plan_.approval_mode = model::ApprovalMode::block;
  agent({.says = "say ok\n"});
  keep();
  EXPECT_EQ(outcome(), "failed policy_denied");
  EXPECT_THAT(exit_text(), Not(HasSubstr("turnPatch")));
}

TEST_F(KeeperOnLayersTest, WhatTheLayersOfATurnTakeIsInItsExit) {
  agent({.says = "say ok\n"}).layer_bytes = 4711;
  keep();
  EXPECT_THAT(exit_text(), HasSubstr(R"("layerBytes":4711)"));
}

TEST_F(KeeperOnLayersTest, WhatIsNotKnownIsNotInItsExit) {
  agent({.says = "say ok\n"}).checkpointer_says =
      R"({"bytes":1,"sha256":")" + std::string(64, 'a') + R"(","entries":1})";
  keep();
  EXPECT_THAT(exit_text(), HasSubstr(R"("checkpoint":{"bytes":1,)"));
  EXPECT_THAT(exit_text(), Not(HasSubstr("layerBytes")));
}

}  // namespace
}  // namespace agentrouter::keeper
