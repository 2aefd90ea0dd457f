#include "sim/openai_request.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace agentrouter::sim {
namespace {

// A request that the pinned Codex CLI sent, without its instructions and tool descriptions.
ResponsesRequest recorded(const std::string& name) {
  const auto path = std::string(AGENTROUTER_SOURCE_DIR) + "/src/sim/testdata/codex_0.169.0/" + name + ".json";
  return read_responses_request(base::read_file(path).value()).value();
}

ResponsesRequest read(std::string_view body) {
  return read_responses_request(body).value();
}

TEST(ResponsesRequest, CodexTurnGivesTaskResultsAndTools) {
  const auto request = recorded("two_calls_at_once");
  EXPECT_EQ(request.model, "gpt-5.5");
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.dialogue.task.starts_with("Do it.\nsim: say I start."));
  EXPECT_EQ(request.dialogue.results, 6u);
  ASSERT_NE(request.find_tool("apply_patch"), nullptr);
  EXPECT_EQ(request.find_tool("apply_patch")->kind, OfferedTool::Kind::custom);
  EXPECT_EQ(request.find_tool("exec_command")->kind, OfferedTool::Kind::function);
  EXPECT_FALSE(request.review);
  EXPECT_FALSE(request.wants_summary);
  EXPECT_TRUE(request.running.empty());
}

TEST(ResponsesRequest, CodeModeOffersItsToolsInTheInput) {
  const auto request = recorded("code_mode");
  ASSERT_NE(request.find_tool("exec"), nullptr);
  EXPECT_EQ(request.find_tool("exec")->kind, OfferedTool::Kind::custom);
  EXPECT_EQ(request.find_tool("exec")->name_space, "");
  EXPECT_EQ(request.find_tool("spawn_agent")->name_space, "collaboration");
  EXPECT_EQ(request.dialogue.results, 1u);
}

TEST(ResponsesRequest, InjectedBlocksAreNoTaskAndAnInterruptedCallIsOfItsOwnTurn) {
  const auto request = recorded("after_interrupt");
  EXPECT_EQ(request.dialogue.task, "sim: sh echo again\nsim: reply second");
  EXPECT_EQ(request.dialogue.results, 1u);
  EXPECT_NE(request.dialogue.earlier.find("sim: sh sleep 60"), std::string::npos);
  EXPECT_NE(request.dialogue.earlier.find("aborted by user"), std::string::npos);
  EXPECT_EQ(request.dialogue.earlier.find("hijack"), std::string::npos);
}

TEST(ResponsesRequest, CommandThatOutlivesItsCallIsFollowed) {
  EXPECT_EQ(recorded("command_still_running").running, std::vector<std::int64_t>{23347});
}

TEST(ResponsesRequest, PollsAreNoResultsAndEndWithTheCommand) {
  const std::string head =
      R"({"input":[{"role":"user","content":"sim: sh a"},)"
      R"({"type":"function_call","name":"exec_command","call_id":"1","arguments":"{}"},)"
      R"({"type":"function_call_output","call_id":"1","output":"Process running with session ID 7\nOutput:\n"},)"
      R"({"type":"function_call","name":"write_stdin","call_id":"2","arguments":"{\"session_id\":7}"},)"
      R"({"type":"function_call_output","call_id":"2","output":")";
  const auto waiting = read(head + R"(Process running with session ID 7\nOutput:\n"}]})");
  EXPECT_EQ(waiting.running, std::vector<std::int64_t>{7});
  EXPECT_EQ(waiting.dialogue.results, 1u);
  const auto ended = read(head + R"(Process exited with code 0\nOutput:\n"}]})");
  EXPECT_TRUE(ended.running.empty());
  EXPECT_EQ(ended.dialogue.results, 1u);
}

TEST(ResponsesRequest, WhatACommandPrintsIsNotTakenForItsState) {
  const auto request =
      read(R"({"input":[{"role":"user","content":"sim: sh a"},{"type":"function_call_output",)"
           R"("call_id":"1","output":"Output:\nProcess running with session ID 9"}]})");
  EXPECT_TRUE(request.running.empty());
}

TEST(ResponsesRequest, SummaryIsAskedForAndCarriesTheCountOn) {
  const auto asked = recorded("summary_wanted");
  EXPECT_TRUE(asked.wants_summary);
  EXPECT_TRUE(asked.dialogue.task.starts_with("sim: usage"));
  EXPECT_EQ(asked.dialogue.results, 2u);
  EXPECT_EQ(summary_of(asked.dialogue), "A simulated run. Tool results so far: 2.");
  const auto after = recorded("after_summary");
  EXPECT_FALSE(after.wants_summary);
  EXPECT_EQ(after.dialogue.results, 2u);
}

TEST(ResponsesRequest, GuardianRequestIsAReview) {
  const auto request = recorded("guardian");
  ASSERT_TRUE(request.review);
  EXPECT_TRUE(request.review->properties.contains("outcome"));
  EXPECT_EQ(request.review->calls, 4u);
  EXPECT_NE(request.review->transcript.find("\nsim: judge garbage\n"), std::string::npos);
}

TEST(ResponsesRequest, ScriptIsThatOfTheLastMessageWithASimLine) {
  const auto request =
      read(R"({"prompt_cache_key":"s","input":[{"role":"user","content":"sim: reply a"},)"
           R"({"role":"user","content":"x\nsim: reply b"},{"type":"function_call_output","output":"r"},)"
           R"({"role":"user","content":"and go on"}]})");
  EXPECT_EQ(request.dialogue.task, "x\nsim: reply b");
  EXPECT_EQ(request.dialogue.place, "s#2");
  EXPECT_EQ(request.dialogue.results, 1u);
  EXPECT_EQ(request.dialogue.earlier, "sim: reply a");
}

TEST(ResponsesRequest, WithoutAScriptTheLastMessageIsTheTask) {
  const auto request =
      read(R"({"input":[{"role":"user","content":"one"},{"role":"assistant","content":"hi"},)"
           R"({"role":"user","content":[{"type":"input_text","text":"two"},{"type":"input_image"}]}]})");
  EXPECT_EQ(request.dialogue.task, "two");
  EXPECT_EQ(request.dialogue.earlier, "one\nhi");
  EXPECT_FALSE(request.stream);
}

TEST(ResponsesRequest, InputMayBeAString) {
  EXPECT_EQ(read(R"({"input":"sim: reply a"})").dialogue.task, "sim: reply a");
}

TEST(ResponsesRequest, BlocksOfTheCliAreKnown) {
  EXPECT_TRUE(is_injected(
      "# AGENTS.md instructions for /workspace\n\n<INSTRUCTIONS>\nsim: reply x\n</INSTRUCTIONS>"));
  EXPECT_TRUE(is_injected("<environment_context>\n</environment_context>"));
  EXPECT_TRUE(is_injected("\n<turn_aborted>\nsim: reply x\n</turn_aborted>"));
  EXPECT_TRUE(is_injected("<skill name=\"x\">"));
  EXPECT_TRUE(is_injected(" "));
  EXPECT_FALSE(is_injected("<skillful>"));
  EXPECT_FALSE(is_injected("<task>sim: sh ls</task>"));
  EXPECT_FALSE(is_injected("sim: sh ls"));
}

TEST(ResponsesRequest, OddItemsAreSkipped) {
  const auto request =
      read(R"({"tools":[1,{"type":"web_search"},{"name":"x","tools":[{"name":"y","tools":[]}]}],"input":)"
           R"([1,null,{},{"type":"message","role":"user"},{"type":"message","role":7,"content":{}},)"
           R"({"type":"additional_tools","tools":{}},{"role":"user","content":"go"}]})");
  EXPECT_EQ(request.dialogue.task, "go");
  EXPECT_TRUE(request.tools.empty());
}

TEST(ResponsesRequest, RefusesWhatIsNoRequest) {
  for (const auto body : {"", "{", "[]", "{}", "{\"input\":7}", "{\"input\":\"\xff\"}"}) {
    EXPECT_EQ(read_responses_request(body).error().code, base::Code::invalid) << body;
  }
}

}  // namespace
}  // namespace agentrouter::sim
