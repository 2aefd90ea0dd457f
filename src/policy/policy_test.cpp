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

ToolDecision judged(const char* mode, const char* tool, const char* command = "") {
  const auto verdict = judge_tool({.mode = mode}, {tool, command});
  EXPECT_FALSE(verdict.reason.empty());
  return verdict.decision;
}

TEST(JudgeTool, ReadOnlyModesBlockEditsOnly) {
  for (const auto* mode : {"read_only", "plan"}) {
    EXPECT_EQ(judged(mode, "edit"), ToolDecision::deny);
    EXPECT_EQ(judged(mode, "shell", "touch a"), ToolDecision::allow);
    EXPECT_EQ(judged(mode, "mcp"), ToolDecision::allow);
  }
}

TEST(JudgeTool, OpenModesAllowWhateverTheLaunchAllows) {
  for (const auto* mode : {"default", "full_access", "acceptEdits", "bypassPermissions"}) {
    for (const auto* tool : {"shell", "edit", "mcp", "other"}) {
      EXPECT_EQ(judged(mode, tool, "touch a"), ToolDecision::allow) << mode << tool;
    }
  }
}

TEST(JudgeTool, DontAskDeniesWhatWouldHaveToBeAskedAbout) {
  for (const auto* tool : {"edit", "mcp", "web", "other", "something new"}) {
    EXPECT_EQ(judged("dontAsk", tool), ToolDecision::deny) << tool;
  }
  EXPECT_EQ(judged("dontAsk", "shell", "touch a"), ToolDecision::deny);
  EXPECT_EQ(judged("dontAsk", "shell"), ToolDecision::deny);
  EXPECT_EQ(judged("dontAsk", "shell", "ls -la"), ToolDecision::allow);
  for (const auto* tool : {"read", "todo", "subagent"}) {
    EXPECT_EQ(judged("dontAsk", tool), ToolDecision::allow) << tool;
  }
}

TEST(JudgeTool, AutoModesWantAReviewOfWhatDoesNotPlainlyOnlyRead) {
  for (const auto* mode : {"auto", "auto_review"}) {
    EXPECT_EQ(judged(mode, "edit"), ToolDecision::review);
    EXPECT_EQ(judged(mode, "mcp"), ToolDecision::review);
    EXPECT_EQ(judged(mode, "shell", "/bin/bash -lc 'touch a'"), ToolDecision::review);
    EXPECT_EQ(judged(mode, "shell", "/bin/bash -lc 'cat a'"), ToolDecision::allow);
    EXPECT_EQ(judged(mode, "read"), ToolDecision::allow);
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
