#include "cli/steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/progress.h"

namespace agentrouter::cli {
namespace {

RunEvent event(std::string type, std::string_view payload = "{}") {
  return {.run_id = "run_1", .sequence = 1, .type = std::move(type), .payload = Json::parse(payload)};
}

std::string step(std::string type, std::string_view payload = "{}") {
  const auto found = step_of(event(std::move(type), payload));
  return found ? found->text : "(none)";
}

TEST(Steps, SayWhatAPersonFollowsARunBy) {
  EXPECT_EQ(step("sandbox.created"), "Sandbox ready");
  EXPECT_EQ(step("agent.started", R"({"provider":"codex"})"), "Codex started");
  EXPECT_EQ(step("agent.message", R"({"text":"one\ntwo\n"})"), "one\ntwo");
  EXPECT_EQ(step("agent.tool_started", R"({"tool":"shell","title":"ls -la"})"), "$ ls -la");
  EXPECT_EQ(step("agent.tool_started", R"({"tool":"edit","title":"a.cpp"})"), "edit a.cpp");
  EXPECT_EQ(step("agent.tool_completed", R"({"status":"completed","exitCode":0})"), "(none)");
  EXPECT_EQ(step("agent.tool_completed", R"({"status":"failed","exitCode":2,"durationMs":1500})"),
            "exit code 2 after 1.5 s");
  EXPECT_EQ(step("agent.tool_completed", R"({"status":"completed","changes":[{"path":"a"},{"path":"b"}]})"),
            "changed a, b");
  EXPECT_EQ(step("agent.tool_completed", R"({"status":"declined"})"), "declined");
  EXPECT_EQ(step("agent.retry", R"({"attempt":2,"max":4,"status":429,"delayMs":1000})"),
            "The provider answered 429, attempt 2 of 4 in 1.0 s");
  EXPECT_EQ(step("policy.evaluated", R"({"decision":"allowed"})"), "(none)");
  EXPECT_EQ(step("policy.evaluated", R"({"decision":"blocked","reason":"mode"})"), "Policy: blocked: mode");
  EXPECT_EQ(
      step("approval.requested", R"({"actionId":"action_1","action":{"name":"codex.launch"}})"),
      "Approval needed for codex.launch: agentrouter approve run_1 action_1   (or: agentrouter deny run_1 "
      "action_1)");
  EXPECT_EQ(step("approval.decided", R"({"decision":"denied","reason":"no"})"), "Denied: no");
  EXPECT_EQ(step("policy.tightened", R"({"policyId":"careful","policyVersion":"v"})"),
            "Policy careful has changed: what it says now holds, too");
  EXPECT_EQ(step("sandbox.destroyed", R"({"sandboxId":"s"})"), "(none)");
  EXPECT_THAT(step("sandbox.destroyed", R"({"checkpointError":"no room"})"), ::testing::HasSubstr("no room"));
  EXPECT_THAT(step("sandbox.destroyed", R"({"checkpointLost":"gone"})"), ::testing::HasSubstr("is lost"));
  EXPECT_EQ(step("egress.request", R"({"host":"evil","decision":"denied"})"), "Request to evil: denied");
  EXPECT_EQ(step("egress.request", R"({"host":"x","decision":"forwarded"})"), "(none)");
}

TEST(Steps, UnknownEventsAndPayloadsOfOtherShapesAreNoError) {
  EXPECT_EQ(step("something.new", R"({"text":"x"})"), "(none)");
  EXPECT_EQ(step("agent.message", R"({"text":7})"), "(none)");
  EXPECT_EQ(step("agent.message", "[]"), "(none)");
  EXPECT_EQ(step("agent.tool_completed", R"({"changes":"x","exitCode":"y"})"), "(none)");
  EXPECT_EQ(summary_of(event("something.new", R"({"a":1})")), R"({"a":1})");
  EXPECT_EQ(summary_of(event("run.completed", R"({"message":"completed"})")), "completed");
}

TEST(Steps, NothingThatAnAgentWroteReachesTheTerminalAsAnEscape) {
  const auto* hostile = R"("\u001b]0;t\u0007\u009b31m\u001b[2Jx\r\u202e")";
  for (const auto* key : {"text", "title", "tool", "summary", "message", "reason", "host", "actionId",
                          "actionName", "provider", "signal", "decision", "status"}) {
    for (const auto* type :
         {"agent.message", "agent.tool_started", "agent.progress", "agent.error", "egress.request",
          "approval.requested", "agent.started", "policy.evaluated", "approval.decided", "other"}) {
      const auto text = summary_of(event(type, "{\"" + std::string(key) + "\":" + hostile + "}"));
      EXPECT_EQ(text.find_first_of("\x1b\r\a\x9b"), std::string::npos) << type << " " << key << ": " << text;
    }
  }
}

struct ProgressTest : testing::Test {
  std::ostringstream out;
  std::ostringstream err;
  Output output{.out = out, .err = err, .columns = 40};
  std::chrono::milliseconds elapsed{1500};
  std::function<std::chrono::milliseconds()> clock = [this] { return elapsed; };
};

TEST_F(ProgressTest, IsOnePlainLinePerStepWhereThereIsNoTerminal) {
  {
    Progress progress(output, clock);
    progress.show({StepKind::note, "Sandbox ready"});
    progress.show({StepKind::message, "one\ntwo"});
    progress.show({StepKind::bad, "broken"});
    progress.tick();
  }
  EXPECT_EQ(err.str(), "- Sandbox ready\n* one\n  two\nx broken\n");
  EXPECT_EQ(out.str(), "");
}

TEST_F(ProgressTest, RedrawsItsLastLineOnATerminalAndTakesItAwayAtTheEnd) {
  output.err_terminal = true;
  {
    Progress progress(output, clock);
    progress.show({StepKind::tool, "$ make"});
    elapsed = std::chrono::milliseconds(2500);
    progress.tick();
  }
  EXPECT_EQ(err.str(), "> $ make\n\r\x1b[K| $ make  1.5 s\r\x1b[K/ $ make  2.5 s\r\x1b[K");
}

TEST_F(ProgressTest, CutsTheStatusLineToTheTerminal) {
  output.err_terminal = true;
  Progress progress(output, clock);
  progress.show({StepKind::activity, std::string(100, 'x')});
  EXPECT_EQ(err.str(), "\r\x1b[K| " + std::string(26, 'x') + "...  1.5 s");
}

TEST_F(ProgressTest, ColoursOnlyWhereTheyAreWanted) {
  output.colour = true;
  Progress progress(output, clock);
  progress.show({StepKind::bad, "broken"});
  EXPECT_EQ(err.str(), "\x1b[31mx broken\x1b[0m\n");
}

}  // namespace
}  // namespace agentrouter::cli
