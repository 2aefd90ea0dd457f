#include <gtest/gtest.h>

#include "agents/claude/claude_program.h"
#include "agents/claude/claude_session.h"
#include "agents/transcript_test.h"

namespace agentrouter::agents {
namespace {

using namespace transcripts;

const fs::path folder = fs::path(AGENTROUTER_SOURCE_DIR) / "tests/golden/claude_code_2.1.330";

// The task that this segment was recorded with.
TurnSpec spec_of(const Segment& segment) {
  TurnSpec spec{.model = "claude-opus-5-5"};
  if (segment.front().text.size() > 6) spec.resume_thread = segment.front().text.substr(6);  // "start ID"
  for (const auto& step : segment) {
    if (step.kind != '>') continue;
    const auto message = parsed(step.text).as_object();
    if (base::get_string(message, "type") != "user") continue;
    spec.prompt = message.at("message").at("content").at(0).at("text").as_string();
    if (spec.prompt.starts_with("\n/")) spec.prompt.erase(0, 1);
  }
  return spec;
}

// One message of each kind stands for all of its kind.
std::string kind_of(const json::value& message) {
  std::string kind;
  json::error_code missing;
  for (const auto* path :
       {"/type", "/subtype", "/message/content/0/type", "/message/content/0/name", "/request/tool_name"}) {
    const auto* part = message.find_pointer(path, missing);
    if (part) kind += base::to_text(*part);
  }
  return kind;
}

std::string accepted(const json::object& sent) {
  const auto* response = base::get_object(sent, "response");
  const auto* verdict = response ? base::get_object(*response, "response") : nullptr;
  if (!verdict || base::get_string(*verdict, "behavior") != "allow") return {};
  return std::string(base::get_string(*response, "request_id").value_or(""));
}

json::value what_runs(const json::value& message) {
  const auto* request = base::get_object(message.as_object(), "request");
  if (!request || base::get_string(*request, "subtype") != "can_use_tool") return nullptr;
  const auto* name = request->if_contains("tool_name");
  const auto* input = request->if_contains("input");
  if (!name || !input) return nullptr;
  return json::object{{"tool", *name}, {"input", *input}};
}

const transcripts::Agent agent{
    .folder = folder,
    .make_session = [](TurnSpec spec) { return make_claude_session(std::move(spec)); },
    .spec_of = spec_of,
    .accepted = accepted,
    .kind_of = kind_of,
    .what_runs = what_runs,
};

class ClaudeTranscript : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Claude, ClaudeTranscript, testing::ValuesIn(names(folder)),
                         [](const auto& info) { return info.param; });

TEST_P(ClaudeTranscript, GivesTheExpectedOutputs) {
  expect_recorded_outputs(agent, GetParam());
}

TEST_P(ClaudeTranscript, IsWhatThisSessionWouldHaveSaid) {
  expect_sends_what_was_recorded(agent, GetParam());
}

TEST_P(ClaudeTranscript, MeansTheSameHoweverItsBytesArrive) {
  expect_same_however_bytes_arrive(agent, GetParam());
}

TEST_P(ClaudeTranscript, LogHoldsJsonWithoutDeltasOrSecretsOfTheModel) {
  for (const auto& segment : load(folder / (GetParam() + ".transcript"))) {
    const auto record = play(agent, segment);
    for (const auto& line : record.log) {
      EXPECT_NE(base::get_string(parsed(line).as_object(), "type"), "stream_event") << line;
      for (const auto* secret : {"secret thoughts", "c2lnbmF0dXJl"}) {
        EXPECT_EQ(line.find(secret), std::string::npos) << line;
      }
    }
    EXPECT_EQ(base::to_text(record.outputs).find("secret thoughts"), std::string::npos);
  }
}

class ClaudeStepFailure : public testing::TestWithParam<std::string> {
 protected:
  Broken broken_{agent, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Claude, ClaudeStepFailure,
                         testing::Values("declined", "interrupt_asking", "fail_401"),
                         [](const auto& info) { return info.param; });

TEST_P(ClaudeStepFailure, DroppedMessage) {
  broken_.dropped();
}

TEST_P(ClaudeStepFailure, NobodyAnswers) {
  broken_.nobody_answers();
}

TEST_P(ClaudeStepFailure, RepeatedMessage) {
  broken_.repeated();
}

TEST_P(ClaudeStepFailure, MessageInAnotherPlace) {
  broken_.reordered();
}

TEST_P(ClaudeStepFailure, MessageRepeatedLater) {
  broken_.repeated_later();
}

TEST(ClaudeDigest, ChangesWithAnyByteThatCouldChangeWhatRuns) {
  int same = 0;
  for (const auto& name : names(folder)) same += expect_digests_cover_what_runs(agent, name, 20);
  EXPECT_GT(same, 0);  // some bytes are only names
}

TEST_P(ClaudeStepFailure, TruncatedMessage) {
  broken_.truncated();
}

TEST_P(ClaudeStepFailure, EndAfterEachMessage) {
  broken_.ended_after();
}

TEST_P(ClaudeStepFailure, MessageOfAnotherType) {
  broken_.replaced_by({"[]", "7", "null", "{}", R"({"type":7})", R"({"type":"control_request"})",
                       R"({"type":"control_response","response":{"subtype":"success","request_id":"x"}})"});
}

TEST(ClaudeStepFailure, EachMemberOfEachMessageMayBeOfAnotherType) {
  Broken(agent, "declined").each_member_of_another_type();
}

TEST(ClaudeProgram, IsTheOneThatTheRecordingsWereMadeWith) {
  const auto program = claude_program({.model = "claude-opus-5-5", .retries = claude_sim_retries});
  const auto list = [](const std::vector<std::string>& words) {
    return json::array(words.begin(), words.end());
  };
  const auto text =
      base::to_text(json::object{
          {"argv", list(program.argv)}, {"resume", list(program.resume_argv)}, {"env", list(program.env)}}) +
      "\n";
  const auto path = folder / "program.json";
  if (accepts()) base::value_or_throw(base::write_file_durably(path, text, 0644));
  EXPECT_EQ(base::value_or_throw(base::read_file(path)), text);
}

}  // namespace
}  // namespace agentrouter::agents
