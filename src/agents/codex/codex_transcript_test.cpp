#include <gtest/gtest.h>

#include "agents/codex/codex_program.h"
#include "agents/codex/codex_session.h"
#include "agents/transcript_test.h"

namespace agentrouter::agents {
namespace {

using namespace transcripts;

const fs::path folder = fs::path(AGENTROUTER_SOURCE_DIR) / "tests/golden/codex";

// The task that this segment was recorded with.
TurnSpec spec_of(const Segment& segment) {
  TurnSpec spec;
  for (const auto& step : segment) {
    if (step.kind != '>') continue;
    const auto message = parsed(step.text).as_object();
    const auto method = base::get_string(message, "method").value_or("");
    if (method.starts_with("thread/")) {
      const auto& params = message.at("params").as_object();
      spec.model = base::get_string(params, "model").value_or("");
      spec.resume_thread = base::get_string(params, "threadId").value_or("");
    }
    if (method == "turn/start") {
      spec.prompt = message.at("params").at("input").at(0).at("text").as_string();
    }
  }
  return spec;
}

// One message of each kind stands for all of its kind.
std::string kind_of(const json::value& message) {
  const auto& object = message.as_object();
  std::string kind(base::get_string(object, "method").value_or(""));
  if (kind.empty()) return base::to_text(object.at("id"));
  json::error_code missing;
  const auto* item = message.find_pointer("/params/item/type", missing);
  return item ? kind + base::to_text(*item) : kind;
}

std::string accepted(const json::object& sent) {
  const auto* result = base::get_object(sent, "result");
  if (!result) return {};
  const bool accepts =
      base::get_string(*result, "decision") == "accept" || base::get_string(*result, "action") == "accept";
  return accepts ? base::to_text(sent.at("id")) : "";
}

json::value what_runs(const json::value& message) {
  const auto& object = message.as_object();
  const auto method = base::get_string(object, "method").value_or("");
  const auto* params = base::get_object(object, "params");
  if (!params) return nullptr;
  if (method == "item/started" && params->contains("item")) {
    const auto* item = params->at("item").if_object();
    const auto* changes = item ? item->if_contains("changes") : nullptr;
    return changes ? *changes : json::value();
  }
  if (!method.ends_with("/requestApproval") && method != "mcpServer/elicitation/request") return nullptr;
  auto rest = *params;
  // Names of the conversation, what may be answered, and what the agent says about it.
  for (const auto* name :
       {"threadId", "turnId", "itemId", "approvalId", "startedAtMs", "availableDecisions", "commandActions",
        "proposedExecpolicyAmendment", "reason", "proposedNetworkPolicyAmendments"})
    rest.erase(name);
  return json::object{{"method", method}, {"params", std::move(rest)}};
}

const transcripts::Agent agent{
    .folder = folder,
    .make_session = [](TurnSpec spec) { return make_codex_session(std::move(spec)); },
    .spec_of = spec_of,
    .accepted = accepted,
    .kind_of = kind_of,
    .what_runs = what_runs,
};

class Transcript : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Codex, Transcript, testing::ValuesIn(names(folder)),
                         [](const auto& info) { return info.param; });

TEST_P(Transcript, GivesTheExpectedOutputs) {
  expect_recorded_outputs(agent, GetParam());
}

TEST_P(Transcript, IsWhatThisSessionWouldHaveSaid) {
  expect_sends_what_was_recorded(agent, GetParam());
}

TEST_P(Transcript, MeansTheSameHoweverItsBytesArrive) {
  expect_same_however_bytes_arrive(agent, GetParam());
}

TEST_P(Transcript, LogHoldsJsonWithoutDeltasOrSecretsOfTheModel) {
  for (const auto& segment : load(folder / (GetParam() + ".transcript"))) {
    for (const auto& line : play(agent, segment).log) {
      const auto message = parsed(line);
      const auto method = base::get_string(message.as_object(), "method").value_or("");
      EXPECT_FALSE(method.ends_with("elta")) << line;
      EXPECT_EQ(line.find("encrypted_content"), std::string::npos) << line;
    }
  }
}

class StepFailure : public testing::TestWithParam<std::string> {
 protected:
  Broken broken_{agent, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Codex, StepFailure, testing::Values("declined", "interrupt_asking", "fail_401"),
                         [](const auto& info) { return info.param; });

TEST_P(StepFailure, DroppedMessage) {
  broken_.dropped();
}

TEST_P(StepFailure, NobodyAnswers) {
  broken_.nobody_answers();
}

TEST_P(StepFailure, RepeatedMessage) {
  broken_.repeated();
}

TEST_P(StepFailure, MessageInAnotherPlace) {
  broken_.reordered();
}

TEST_P(StepFailure, MessageRepeatedLater) {
  broken_.repeated_later();
}

TEST(CodexDigest, ChangesWithAnyByteThatCouldChangeWhatRuns) {
  int same = 0;
  for (const auto& name : names(folder)) same += expect_digests_cover_what_runs(agent, name, 20);
  EXPECT_GT(same, 0);  // some bytes are only names
}

TEST_P(StepFailure, TruncatedMessage) {
  broken_.truncated();
}

TEST_P(StepFailure, EndAfterEachMessage) {
  broken_.ended_after();
}

TEST_P(StepFailure, MessageOfAnotherType) {
  broken_.replaced_by(
      {"[]", "7", "null", "{}", R"({"method":7})", R"({"id":{},"method":"x"})", R"({"id":99,"result":{}})"});
}

TEST(StepFailure, EachMemberOfEachMessageMayBeOfAnotherType) {
  Broken(agent, "declined").each_member_of_another_type();
}

TEST(CodexProgram, ConfigIsTheOneThatTheRecordingsWereMadeWith) {
  const auto program = codex_program({.model = "gpt-5.5", .retries = codex_sim_retries});
  ASSERT_EQ(program.files.size(), 1u);
  EXPECT_EQ(program.files[0].path, "/home/agent/.codex/config.toml");
  const auto path = folder / "config.toml";
  if (accepts()) base::value_or_throw(base::write_file_durably(path, program.files[0].content, 0644));
  EXPECT_EQ(base::value_or_throw(base::read_file(path)), program.files[0].content);
}

}  // namespace
}  // namespace agentrouter::agents
