#include "policy/policy.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace agentrouter::policy
