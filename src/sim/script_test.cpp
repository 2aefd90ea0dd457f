#include "sim/script.h"

#include <gtest/gtest.h>

namespace agentrouter::sim {
namespace {

using namespace std::chrono_literals;

Script parse(std::string_view task) {
  return parse_script(task).value();
}

// What a script comes to when nothing of it is carried out.
std::string refusal(std::string_view task) {
  const auto script = parse(task);
  EXPECT_EQ(script.responses.size(), 1u);
  return std::get<Text>(script.responses.back().final_message.value()).text;
}

template <class Step>
Step only_call(std::string_view task) {
  return std::get<Step>(parse(task).responses.at(0).calls.at(0));
}

std::string final_text(const Script& script) {
  return std::get<Text>(*script.responses.back().final_message).text;
}

TEST(Script, TaskWithoutASimLineIsNone) {
  EXPECT_FALSE(parse_script("Fix the bug"));
  EXPECT_FALSE(parse_script("  sim: sh ls\nxsim: sh ls\n"));
  EXPECT_FALSE(parse_script(""));
}

TEST(Script, EachStepIsOneResponseAndWordsAroundThemAreSkipped) {
  const auto script =
      parse("Please do this:\nsim: sh ls -la\nand then\r\nsim: write a.txt hi\r\nsim:reply bye\nthanks");
  ASSERT_EQ(script.responses.size(), 3u);
  EXPECT_EQ(std::get<Shell>(script.responses[0].calls.at(0)).command, "ls -la");
  EXPECT_EQ(std::get<WriteFile>(script.responses[1].calls.at(0)).text, "hi");
  EXPECT_EQ(final_text(script), "bye");
}

TEST(Script, EndsWithDoneWhenItNamesNoFinalMessage) {
  EXPECT_EQ(final_text(parse("sim: sh ls")), "Done.");
}

TEST(Script, EscapesWorkInEveryLine) {
  EXPECT_EQ(only_call<Shell>("sim: sh printf 'a\\\\n'").command, "printf 'a\\n'");
  EXPECT_EQ(only_call<WriteFile>("sim: write a\\tb.txt x\\n\\ty").path, "a\tb.txt");
  EXPECT_EQ(only_call<WriteFile>("sim: write a x\\n\\ty\\d").text, "x\n\ty\\d");
  EXPECT_EQ(final_text(parse("sim: reply a\\nb\\")), "a\nb\\");
  EXPECT_EQ(parse("sim: say a\\nb").responses[0].utterances.at(0).text, "a\nb");
}

TEST(Script, WriteKeepsIndentationAndMayBeEmpty) {
  EXPECT_EQ(only_call<WriteFile>("sim: write a.py   return 1").text, "  return 1");
  EXPECT_EQ(only_call<WriteFile>("sim: write a.py").text, "");
}

TEST(Script, EditSplitsAtTheFirstArrowAndKeepsIndentation) {
  const auto edit = only_call<EditFile>("sim: edit src/a.c   x = 1; =>   x = 2; => y");
  EXPECT_EQ(edit.path, "src/a.c");
  EXPECT_EQ(edit.before, "  x = 1;");
  EXPECT_EQ(edit.after, "  x = 2; => y");
  EXPECT_EQ(only_call<EditFile>("sim: edit a one\\ntwo =>").after, "");
}

TEST(Script, McpAndCallTakeJsonAsItIs) {
  const auto mcp = only_call<McpTool>("sim: mcp stub add {\"a\": \"x\\ny\"}");
  EXPECT_EQ(mcp.server, "stub");
  EXPECT_EQ(mcp.tool, "add");
  EXPECT_EQ(mcp.arguments, "{\"a\": \"x\\ny\"}");
  const auto call = only_call<NamedTool>("sim: call view_image {\"path\":\"a.png\"}");
  EXPECT_EQ(call.tool, "view_image");
  EXPECT_EQ(call.arguments, "{\"path\":\"a.png\"}");
  EXPECT_EQ(only_call<NamedTool>("sim: call get_goal").arguments, "{}");
}

TEST(Script, WithAddsACallToTheSameResponse) {
  const auto script = parse("sim: sh a\nsim: with read b\nsim: with sh c\nsim: sh d");
  ASSERT_EQ(script.responses.size(), 3u);
  EXPECT_EQ(script.responses[0].calls.size(), 3u);
  EXPECT_EQ(std::get<ReadFile>(script.responses[0].calls[1]).path, "b");
}

TEST(Script, RepeatCountsFromOne) {
  const auto script =
      parse("sim: repeat 3 sh echo {i} {i}\nsim: repeat 2 with sh more {i}\nsim: repeat 0 sh never");
  ASSERT_EQ(script.responses.size(), 4u);
  EXPECT_EQ(std::get<Shell>(script.responses[0].calls[0]).command, "echo 1 1");
  EXPECT_EQ(std::get<Shell>(script.responses[2].calls[0]).command, "echo 3 3");
  ASSERT_EQ(script.responses[2].calls.size(), 3u);
  EXPECT_EQ(std::get<Shell>(script.responses[2].calls[2]).command, "more 2");
}

TEST(Script, SayThinkAndSleepAttachToTheNextResponseInOrder) {
  const auto script =
      parse("sim: say one\nsim: think two\nsim: say three\nsim: sleep 1.5\nsim: sleep 1\nsim: sh ls");
  const auto& first = script.responses.at(0);
  ASSERT_EQ(first.utterances.size(), 3u);
  EXPECT_EQ(first.utterances[1].kind, Utterance::Kind::think);
  EXPECT_EQ(first.utterances[2].text, "three");
  EXPECT_EQ(first.sleep, 2500ms);
  EXPECT_TRUE(script.responses.at(1).utterances.empty());
  EXPECT_EQ(script.responses.at(1).sleep, 0ms);
}

TEST(Script, UsageAndJudgeHoldForLaterResponses) {
  const auto script = parse(
      "sim: sh a\nsim: usage 10 20\nsim: judge deny\nsim: sh b\nsim: usage late\nsim: sh c\nsim: usage none\n"
      "sim: judge garbage\nsim: sh d\nsim: usage late\nsim: reply e");
  EXPECT_EQ(script.responses[0].usage.kind, Usage::Kind::measured);
  EXPECT_EQ(script.responses[0].judge, Judge::allow);
  EXPECT_EQ(script.responses[1].usage.input, 10u);
  EXPECT_EQ(script.responses[1].usage.output, 20u);
  EXPECT_EQ(script.responses[1].judge, Judge::deny);
  EXPECT_EQ(script.responses[2].usage.kind, Usage::Kind::fixed);
  EXPECT_EQ(script.responses[2].usage.arrival, Usage::Arrival::late);
  EXPECT_EQ(script.responses[3].usage.kind, Usage::Kind::none);
  EXPECT_EQ(script.responses[3].judge, Judge::garbage);
  EXPECT_EQ(script.responses[4].usage.kind, Usage::Kind::measured);
}

TEST(Script, DisturbancesAttachInOrderAndTakeTheSleepBeforeThem) {
  const auto script = parse(
      "sim: sleep 1\nsim: error 429 slow_down retry-after=7 always\nsim: sleep 2\nsim: fail refusal\nsim: "
      "drop\nsim: sh a");
  const auto& found = script.responses.at(0).disturbances;
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].status, 429);
  EXPECT_EQ(found[0].code, "slow_down");
  EXPECT_EQ(found[0].retry_after, 7);
  EXPECT_EQ(found[0].repeats, Disturbance::Repeats::always);
  EXPECT_EQ(found[0].sleep, 1s);
  EXPECT_EQ(found[1].kind, Disturbance::Kind::fail);
  EXPECT_EQ(found[1].code, "refusal");
  EXPECT_EQ(found[1].sleep, 2s);
  EXPECT_EQ(found[2].kind, Disturbance::Kind::drop);
  EXPECT_NE(found[1].id, found[2].id);
  EXPECT_EQ(script.responses.at(0).sleep, 0ms);
}

TEST(Script, FailuresAndCutsHappenForEverWhenAsked) {
  const auto script = parse("sim: fail max_tokens always\nsim: drop always\nsim: sh a");
  for (const auto& disturbance : script.responses.at(0).disturbances) {
    EXPECT_EQ(disturbance.repeats, Disturbance::Repeats::always);
  }
  EXPECT_EQ(script.responses.at(0).disturbances.at(0).code, "max_tokens");
}

TEST(Script, FinalMessages) {
  EXPECT_EQ(std::get<Recall>(*parse("sim: recall the word").responses[0].final_message).text, "the word");
  EXPECT_EQ(std::get<Big>(*parse("sim: big 1000").responses[0].final_message).bytes, 1000u);
}

TEST(Script, NothingIsReachedAfterTheFinalMessage) {
  const auto script = parse("sim: reply a\nsim: sh b\nsim: with sh c\nsim: reply d");
  ASSERT_EQ(script.responses.size(), 1u);
  EXPECT_EQ(final_text(script), "a");
}

TEST(Script, DueResponseFollowsTheResultsThatCameBack) {
  const auto script = parse("sim: sh a\nsim: with sh b\nsim: sh c\nsim: reply d");
  EXPECT_EQ(script.due(0).calls.size(), 2u);
  EXPECT_EQ(script.due(2).calls.size(), 1u);
  EXPECT_TRUE(script.due(3).final_message);
  EXPECT_TRUE(script.due(99).final_message);
  // Half of a response's results: the next one is not due twice, so it is due now.
  EXPECT_EQ(script.due(1).calls.size(), 1u);
}

TEST(Script, UnknownLineEndsTheRunAndIsNamed) {
  EXPECT_EQ(refusal("Do\nsim: sh ls\nsim: frob x"), "Line 3 of the script is not understood: sim: frob x");
}

class ScriptRefuses : public testing::TestWithParam<const char*> {};

TEST_P(ScriptRefuses, LineThatIsNotUnderstood) {
  EXPECT_NE(refusal(GetParam()).find("is not understood"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Lines, ScriptRefuses,
    testing::Values("sim:", "sim: SH ls", "sim: sh", "sim: write", "sim: read", "sim: edit", "sim: edit a",
                    "sim: edit a b", "sim: edit a b =>c", "sim: edit a => b", "sim: mcp stub",
                    "sim: mcp stub add {", "sim: call", "sim: call x nope", "sim: with sh ls",
                    "sim: sh a\nsim: with say b", "sim: sh a\nsim: with", "sim: say", "sim: think",
                    "sim: sleep", "sim: sleep x", "sim: sleep -1", "sim: sleep 1e9", "sim: sleep nan",
                    "sim: repeat", "sim: repeat x sh a", "sim: repeat 2", "sim: repeat -1 sh a",
                    "sim: repeat 0 frob", "sim: repeat 2 repeat 2 sh a", "sim: repeat 100001 sh a",
                    "sim: repeat 100000 sh a\nsim: sh b", "sim: error", "sim: error x", "sim: error 200",
                    "sim: error 600", "sim: error 500 a b", "sim: error 429 retry-after=x",
                    "sim: error 429 retry-after=-1", "sim: fail", "sim: fail a b", "sim: drop now",
                    "sim: usage", "sim: usage 1", "sim: usage 1 2 3", "sim: usage -1 2",
                    "sim: usage 1 9999999999999999", "sim: recall", "sim: judge", "sim: judge maybe",
                    "sim: big", "sim: big 0", "sim: big x", "sim: big 67108865", "sim: reply",
                    "sim: reply a\nsim: frob"));

TEST(Script, AHundredThousandStepsAreTheMost) {
  EXPECT_EQ(parse("sim: repeat 100000 sh a").responses.size(), 100'001u);
}

}  // namespace
}  // namespace agentrouter::sim
