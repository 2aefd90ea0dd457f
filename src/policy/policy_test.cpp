#include "policy/policy.h"

#include <gtest/gtest.h>

#include "policy/no_progress.h"

namespace agentrouter::policy {
namespace {

TEST(JudgeLaunch, FollowsTheApprovalMode) {
  EXPECT_EQ(judge_launch(model::ApprovalMode::automatic).decision, Decision::allowed);
  EXPECT_EQ(judge_launch(model::ApprovalMode::manual).decision, Decision::requires_approval);
  EXPECT_EQ(judge_launch(model::ApprovalMode::block).decision, Decision::blocked);
}

TEST(JudgeLaunch, NamesItsPolicyVersionAndReason) {
  for (const auto mode :
       {model::ApprovalMode::automatic, model::ApprovalMode::manual, model::ApprovalMode::block}) {
    const auto verdict = judge_launch(mode);
    EXPECT_EQ(verdict.policy_id, "approval-mode");
    EXPECT_EQ(verdict.policy_version, "1");
    EXPECT_FALSE(verdict.reason.empty());
  }
}

TEST(JudgeTool, ReadOnlyModesBlockEditsOnly) {
  for (const auto* mode : {"read_only", "plan"}) {
    const model::Runtime runtime{.mode = mode};
    EXPECT_EQ(judge_tool(runtime, {"edit"}).decision, Decision::blocked);
    EXPECT_EQ(judge_tool(runtime, {"shell"}).decision, Decision::allowed);
    EXPECT_EQ(judge_tool(runtime, {"mcp"}).decision, Decision::allowed);
  }
}

TEST(JudgeTool, OtherModesAllowEverythingAtRunScope) {
  for (const auto* mode : {"default", "full_access", "auto_review", "acceptEdits"}) {
    for (const auto* tool : {"shell", "edit", "mcp", "other"}) {
      EXPECT_EQ(judge_tool({.mode = mode}, {tool}).decision, Decision::allowed) << mode << tool;
    }
  }
}

TEST(Decision, TextsAreThoseOfTheWire) {
  EXPECT_EQ(to_string(Decision::requires_approval), "requires_approval");
  EXPECT_EQ(to_string(Decision::blocked), "blocked");
}

TEST(NoProgress, FiresOnceForTheSameCommandWithTheSameResult) {
  NoProgress detector;
  EXPECT_FALSE(detector.command("make", 2, "error"));
  EXPECT_FALSE(detector.command("make", 2, "error"));
  const auto signal = detector.command("make", 2, "error");
  ASSERT_TRUE(signal);
  EXPECT_EQ(signal->at("signal"), "repeated_command");
  EXPECT_EQ(signal->at("occurrences"), 3);
  EXPECT_EQ(signal->at("exitCode"), 2);
  EXPECT_EQ(signal->at("command"), "make");
  EXPECT_FALSE(detector.command("make", 2, "error"));
}

TEST(NoProgress, ChangingOutputOrExitCodeIsAnotherKey) {
  NoProgress detector;
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(detector.command("date", 0, std::to_string(i)));
    EXPECT_FALSE(detector.command("make", i, "error"));
  }
}

TEST(NoProgress, RepeatedSuccessWithTheSameOutputAndNothingInBetweenFires) {
  NoProgress detector;
  EXPECT_FALSE(detector.command("git status", 0, "clean"));
  EXPECT_FALSE(detector.command("git status", 0, "clean"));
  EXPECT_TRUE(detector.command("git status", 0, "clean"));
}

TEST(NoProgress, ASuccessWithNewOutputClearsEarlierSuccessesButNoFailure) {
  NoProgress detector;
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(detector.command("git status", 0, "clean"));
    EXPECT_FALSE(detector.command("step", 0, std::to_string(i)));
  }
  EXPECT_FALSE(detector.command("make", 2, "error"));
  EXPECT_FALSE(detector.command("step", 0, "a"));
  EXPECT_FALSE(detector.command("make", 2, "error"));
  EXPECT_FALSE(detector.edit("a.txt", "+b"));
  EXPECT_TRUE(detector.command("make", 2, "error"));
}

TEST(NoProgress, FiresForTheSameEditOfTheSameFile) {
  NoProgress detector;
  EXPECT_FALSE(detector.edit("a.txt", "+x"));
  EXPECT_FALSE(detector.edit("b.txt", "+x"));
  EXPECT_FALSE(detector.edit("a.txt", "+x"));
  EXPECT_FALSE(detector.edit("a.txt", "+y"));
  const auto signal = detector.edit("a.txt", "+x");
  ASSERT_TRUE(signal);
  EXPECT_EQ(signal->at("signal"), "repeated_edit");
  EXPECT_EQ(signal->at("path"), "a.txt");
}

TEST(NoProgress, StartsAnewAtTheLimitOfKeys) {
  NoProgress detector;
  EXPECT_FALSE(detector.command("make", 1, ""));
  EXPECT_FALSE(detector.command("make", 1, ""));
  for (std::size_t i = 0; i < NoProgress::max_keys; ++i)
    (void)detector.command("other", 1, std::to_string(i));
  EXPECT_FALSE(detector.command("make", 1, ""));
}

}  // namespace
}  // namespace agentrouter::policy
