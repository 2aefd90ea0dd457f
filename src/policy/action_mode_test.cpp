#include "policy/action_mode.h"

#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

model::Runtime claude(const char* mode) {
  return {model::RuntimeKind::claude_code, mode, {}};
}

ModeFacts shell(const char* command) {
  return {.tool = {.tool = "shell", .command = command}};
}
ModeFacts edit(std::vector<std::string> paths) {
  return {.tool = {.tool = "edit"}, .changed_paths = std::move(paths)};
}
ModeFacts other(const char* tool) {
  return {.tool = {.tool = tool}};
}

ModeStep automatic(const char* mode, const ModeFacts& facts) {
  return judge_action(claude(mode), model::ApprovalMode::automatic, facts).step;
}
ModeStep manual(const char* mode, const ModeFacts& facts) {
  return judge_action(claude(mode), model::ApprovalMode::manual, facts).step;
}

TEST(ActionMode, DefaultAsksAboutWhatDoesNotPlainlyOnlyRead) {
  EXPECT_EQ(automatic("default", shell("ls -la")), ModeStep::allow);
  EXPECT_EQ(automatic("default", other("read")), ModeStep::allow);
  EXPECT_EQ(automatic("default", shell("touch a")), ModeStep::ask);
  EXPECT_EQ(automatic("default", shell("/usr/bin/sed -n 1p a")), ModeStep::ask);
  EXPECT_EQ(automatic("default", edit({"a"})), ModeStep::ask);
  EXPECT_EQ(automatic("default", other("mcp")), ModeStep::ask);
  EXPECT_EQ(automatic("default", other("web")), ModeStep::ask);
  EXPECT_EQ(automatic("default", other("anything")), ModeStep::ask);
}

TEST(ActionMode, AcceptEditsDiffersFromDefaultInEditsOfTheWorkspaceAlone) {
  EXPECT_EQ(automatic("acceptEdits", edit({"a", "/workspace/src/b"})), ModeStep::allow);
  EXPECT_EQ(automatic("acceptEdits", edit({"a", "/home/agent/.codex/config.toml"})), ModeStep::ask);
  EXPECT_EQ(automatic("acceptEdits", edit({"../home/x"})), ModeStep::ask);
  EXPECT_EQ(automatic("acceptEdits", edit({"/workspace/../etc/passwd"})), ModeStep::ask);
  EXPECT_EQ(automatic("acceptEdits", edit({".git/hooks/post-commit"})), ModeStep::ask);
  EXPECT_EQ(automatic("acceptEdits", edit({})), ModeStep::ask);
  EXPECT_EQ(automatic("acceptEdits", shell("touch a")), ModeStep::ask);
  EXPECT_EQ(automatic("acceptEdits", other("mcp")), ModeStep::ask);
}

TEST(ActionMode, OpenModesAllowAndClosedModesDeny) {
  for (const auto* mode : {"full_access", "bypassPermissions"}) {
    EXPECT_EQ(automatic(mode, shell("rm -rf /")), ModeStep::allow) << mode;
    EXPECT_EQ(automatic(mode, edit({"/etc/passwd"})), ModeStep::allow) << mode;
  }
  for (const auto* mode : {"read_only", "plan"}) {
    EXPECT_EQ(automatic(mode, edit({"a"})), ModeStep::deny) << mode;
    EXPECT_EQ(automatic(mode, shell("touch a")), ModeStep::allow) << mode;
  }
  EXPECT_EQ(automatic("dontAsk", shell("touch a")), ModeStep::deny);
  EXPECT_EQ(automatic("dontAsk", shell("cat a")), ModeStep::allow);
}

TEST(ActionMode, ReviewedModesWantAReviewersWord) {
  for (const auto* mode : {"auto", "auto_review"}) {
    EXPECT_EQ(automatic(mode, shell("touch a")), ModeStep::review) << mode;
    EXPECT_EQ(automatic(mode, shell("cat a")), ModeStep::allow) << mode;
  }
}

TEST(ActionMode, ManualAsksAboutEverythingButTheListOfThingsToDo) {
  for (const auto* mode : {"default", "acceptEdits", "bypassPermissions", "auto"}) {
    EXPECT_EQ(manual(mode, shell("ls")), ModeStep::ask) << mode;
    EXPECT_EQ(manual(mode, other("read")), ModeStep::ask) << mode;
    EXPECT_EQ(manual(mode, edit({"a"})), ModeStep::ask) << mode;
    EXPECT_EQ(manual(mode, other("subagent")), ModeStep::ask) << mode;
  }
  EXPECT_EQ(manual("default", other("todo")), ModeStep::allow);
}

TEST(ActionMode, ManualDoesNotLoosenWhatTheModeDenies) {
  EXPECT_EQ(manual("plan", edit({"a"})), ModeStep::deny);
  EXPECT_EQ(manual("dontAsk", shell("touch a")), ModeStep::deny);
}

TEST(ActionMode, APolicyTakesThePlaceOfTheQuestionsAndNotOfTheDenials) {
  const auto under_policy = [](const char* mode, const ModeFacts& facts) {
    return judge_action_under_policy(claude(mode), facts).step;
  };
  EXPECT_EQ(under_policy("default", shell("touch a")), ModeStep::allow);
  EXPECT_EQ(under_policy("plan", edit({"a"})), ModeStep::deny);
  EXPECT_EQ(under_policy("auto", shell("touch a")), ModeStep::review);
}

TEST(ActionMode, AVerdictSaysWhoSpokeAndWhy) {
  const auto verdict = judge_action(claude("default"), model::ApprovalMode::manual, shell("ls"));
  EXPECT_EQ(verdict.policy_id, "approval-mode");
  EXPECT_EQ(verdict.reason, "approvalMode manual requires a person's approval of every action");
  EXPECT_EQ(judge_action(claude("default"), model::ApprovalMode::automatic, shell("x")).policy_id,
            "runtime-mode");
}

TEST(ActionMode, InsideIsJudgedByNames) {
  for (const auto* path : {"a", "a/b", "/workspace/a", "./a", "a//b"}) EXPECT_TRUE(is_inside(path, "/workspace")) << path;
  for (const auto* path : {"", "/", "/workspace", "/workspaces/a", "/tmp/a", "a/../b", "..", ".git", "a/.git/b"})
    EXPECT_FALSE(is_inside(path, "/workspace")) << path;
  EXPECT_FALSE(is_inside(std::string_view("a\0b", 3), "/workspace"));
}

}  // namespace
}  // namespace agentrouter::policy
