#include "sim/anthropic_request.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace agentrouter::sim {
namespace {

using Purpose = MessagesRequest::Purpose;

// A request that the pinned Claude Code sent, without most of its instructions and tool descriptions.
MessagesRequest recorded(const std::string& name) {
  const auto path =
      std::string(AGENTROUTER_SOURCE_DIR) + "/src/sim/testdata/claude_2.1.330/" + name + ".json";
  return read_messages_request(base::read_file(path).value()).value();
}

MessagesRequest read(std::string_view messages) {
  return read_messages_request("{\"messages\":" + std::string(messages) + "}").value();
}

TEST(MessagesRequest, TurnGivesTaskResultsToolsAndDirectory) {
  const auto request = recorded("calls_at_once");
  EXPECT_EQ(request.purpose, Purpose::turn);
  EXPECT_EQ(request.model, "claude-opus-5-5");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.directory, "/workspace");
  EXPECT_TRUE(request.dialogue.task.starts_with("Do it.\nsim: say I start."));
  EXPECT_EQ(request.dialogue.results, 8u);
  EXPECT_TRUE(request.offers("Bash"));
  EXPECT_FALSE(request.offers("TodoWrite"));
  EXPECT_EQ(request.unread, "");
}

TEST(MessagesRequest, FileThatTheCliWantsReadIsNamedAndTheResultDoesNotCount) {
  const auto request = recorded("not_read_yet");
  EXPECT_EQ(request.unread, "/workspace/pre.txt");
  EXPECT_EQ(request.dialogue.results, 0u);
}

TEST(MessagesRequest, WordsOfTheCliBesideAResultAreNoTask) {
  const auto request = recorded("tool_loaded");
  EXPECT_EQ(request.dialogue.task, "do it");
  EXPECT_EQ(request.dialogue.results, 3u);
}

TEST(MessagesRequest, WebSearchOfTheCliIsASideJob) {
  EXPECT_EQ(recorded("web_search").purpose, Purpose::side_job);
}

TEST(MessagesRequest, AutoModeAsksForAVerdictOnItsLastCall) {
  const auto request = recorded("auto_mode");
  EXPECT_EQ(request.purpose, Purpose::verdict);
  EXPECT_EQ(request.review.form, MessagesRequest::VerdictForm::block);
  EXPECT_TRUE(request.review.transcript.starts_with("Do it.\nsim: judge deny\nsim: sh python3 -c 1\n"));
  EXPECT_EQ(request.review.calls, 1u);
  EXPECT_FALSE(request.stream);
}

TEST(MessagesRequest, SummaryCarriesScriptCountAndMemoryOn) {
  const auto asked = recorded("summary_wanted");
  EXPECT_EQ(asked.purpose, Purpose::summary);
  EXPECT_EQ(asked.dialogue.task, "please do it\nsim: sh ls");
  const Dialogue before{.task = "Do.\nsim: sh a\nsim: reply b", .earlier = "old\nwords", .results = 7};
  const auto summary =
      "This session is being continued from a previous conversation that ran out of "
      "context.\n" +
      history_summary(before);
  const auto after = read(base::to_text(json::array{json::object{{"role", "user"}, {"content", summary}}}));
  EXPECT_EQ(after.purpose, Purpose::turn);
  EXPECT_EQ(after.dialogue.task, "sim: sh a\nsim: reply b");
  EXPECT_EQ(after.dialogue.results, 7u);
  EXPECT_NE(after.dialogue.earlier.find("words"), std::string::npos);
}

TEST(MessagesRequest, PromptAfterASummaryIsTheTaskAndRemembersWhatTheSummaryDoes) {
  const Dialogue before{.task = "sim: reply b", .earlier = "old", .results = 1};
  const auto summary =
      "This session is being continued from a previous conversation\n" + history_summary(before);
  const json::array content{json::object{{"type", "text"}, {"text", summary}},
                            json::object{{"type", "text"}, {"text", "sim: recall old"}}};
  const auto after = read(base::to_text(json::array{json::object{{"role", "user"}, {"content", content}}}));
  EXPECT_EQ(after.dialogue.task, "sim: recall old");
  EXPECT_EQ(after.dialogue.results, 0u);
  EXPECT_NE(after.dialogue.earlier.find("old"), std::string::npos);
}

TEST(MessagesRequest, PromptAfterAnInterruptionBeginsATurn) {
  const auto request =
      read(R"([{"role":"user","content":"sim: sh a"},)"
           R"({"role":"assistant","content":[{"type":"tool_use","id":"1","name":"Bash","input":{}}]},)"
           R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"aborted"},)"
           R"({"type":"text","text":"[Request interrupted by user for tool use]"},)"
           R"({"type":"text","text":"sim: sh b"}]}])");
  EXPECT_EQ(request.dialogue.task, "sim: sh b");
  EXPECT_EQ(request.dialogue.results, 0u);
  EXPECT_NE(request.dialogue.earlier.find("aborted"), std::string::npos);
}

TEST(MessagesRequest, ScriptIsThatOfTheLastMessageWithASimLine) {
  const auto request =
      read(R"([{"role":"user","content":"sim: reply a"},{"role":"assistant","content":"a"},)"
           R"({"role":"user","content":"x\nsim: reply b"},{"role":"assistant","content":"b"},)"
           R"({"role":"user","content":"and go on"}])");
  EXPECT_EQ(request.dialogue.task, "x\nsim: reply b");
  EXPECT_EQ(request.dialogue.place, "#2");
  EXPECT_EQ(request.dialogue.earlier, "sim: reply a\na");
}

TEST(MessagesRequest, WordsOfTheCliAreKnown) {
  for (const auto text :
       {"<system-reminder>\nsim: reply x\n</system-reminder>", "<command-name>/compact</command-name>",
        "\n<local-command-stdout>x", "[Request interrupted by user]", " ",
        "Output token limit hit. Resume directly - no apology",
        "Your response above was stopped by a safety classifier - this is not a tool or API error."}) {
    EXPECT_TRUE(is_from_cli(text)) << text;
  }
  for (const auto text : {"<system-reminders>", "<task>sim: sh ls</task>", "sim: sh ls"})
    EXPECT_FALSE(is_from_cli(text)) << text;
}

TEST(MessagesRequest, OddMessagesAreSkipped) {
  const auto request =
      read(R"([1,null,{},{"role":7},{"role":"user"},{"role":"user","content":[3,{},{"type":"image"}]},)"
           R"({"role":"assistant","content":[{"type":"tool_use"}]},)"
           R"({"role":"user","content":[{"type":"tool_result"}]},{"role":"user","content":"go"}])");
  EXPECT_EQ(request.dialogue.task, "go");
  EXPECT_TRUE(request.tools.empty());
}

TEST(MessagesRequest, RefusesWhatIsNoRequest) {
  for (const auto body : {"", "{", "[]", "{}", "{\"messages\":7}", "{\"messages\":\"\xff\"}"}) {
    EXPECT_EQ(read_messages_request(body).error().code, base::Code::invalid) << body;
  }
}

}  // namespace
}  // namespace agentrouter::sim
