#include "keeper/plan.h"

#include <gtest/gtest.h>

#include "base/fd.h"
#include "testing/builders.h"

namespace agentrouter::keeper {
namespace {

AttemptPlan sample() {
  return {.attempt_id = model::AttemptId("attempt_" + base::uuid_from_text("a")),
          .run_id = testing::run_id("a"),
          .token = 7,
          .runtime = {.mode = "read_only", .model = "gpt-5.5"},
          .model = "gpt-5.5",
          .task = "line\n\"quoted\" \xe2\x82\xac",
          .restores = true,
          .resume_thread = "t1",
          .approval_mode = model::ApprovalMode::manual,
          .approval_scope = model::ApprovalScope::action,
          .rules = *policy::preset("ask-writes"),
          .tags = {{"team", "a"}},
          .provider = Provider::upstream,
          .base_url = "https://api.example.test/v1",
          .program = {.argv = {"/opt/codex/bin/codex", "app-server"},
                      .resume_argv = {"--resume"},
                      .env = {"A=1", "B="},
                      .files = {{"/home/agent/.codex/config.toml", "x = 1\n"}},
                      .command_name = "codex",
                      .argv_for_action = {"app-server"}},
          .mcp = {{"tracker",
                   "https://mcp.example.test/mcp",
                   {{"Authorization", "Bearer mcp-secret"}, {"X-Team", "blue"}}},
                  {"open", "https://open.example.test/mcp", {}}},
          .limits = {.wall_time = std::chrono::milliseconds(1),
                     .quiet = std::chrono::milliseconds(2),
                     .cancel_grace = std::chrono::milliseconds(3),
                     .output_bytes = 4}};
}

base::Fd stream_of(std::string_view bytes) {
  auto pipe = base::value_or_throw(base::make_pipe());
  EXPECT_TRUE(base::write_all(pipe.second.get(), bytes));
  return std::move(pipe.first);
}

TEST(AttemptPlan, IsReadBackAsItWasWritten) {
  const std::string text = encode_plan(sample());
  const auto plan = decode_plan(text);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(encode_plan(*plan), text);
  EXPECT_EQ(plan->task, sample().task);
  EXPECT_EQ(plan->program.files.at(0).content, "x = 1\n");
  EXPECT_EQ(plan->limits.output_bytes, 4u);
  EXPECT_EQ(plan->rules->version(), policy::preset("ask-writes")->version());
  EXPECT_EQ(plan->tags, sample().tags);
}

TEST(AttemptPlan, RulesThatMakeNoSenseAreRefused) {
  auto whole = base::value_or_throw(base::parse_json(encode_plan(sample()))).get_object();
  whole["rules"] = json::object{{"name", "x"}, {"rules", 7}};
  EXPECT_FALSE(decode_plan(base::to_text(whole)));
  whole["rules"] = json::object{};
  EXPECT_FALSE(decode_plan(base::to_text(whole))->rules);
}

TEST(AttemptPlan, EachMissingFieldIsNamed) {
  const auto whole = base::value_or_throw(base::parse_json(encode_plan(sample()))).get_object();
  for (const auto& field : whole) {
    json::object less = whole;
    less.erase(field.key());
    const auto plan = decode_plan(base::to_text(less));
    ASSERT_FALSE(plan) << field.key();
    EXPECT_NE(plan.error().message.find(field.key()), std::string::npos) << plan.error().message;
  }
  EXPECT_FALSE(decode_plan("[]"));
  EXPECT_FALSE(decode_plan("{"));
}

TEST(AttemptPlan, KeyComesBehindThePlanAndIsNoPartOfIt) {
  const base::Fd stream = stream_of(frame_plan(sample()) + "sk-the-real-key");
  const auto received = receive_plan(stream.get());
  ASSERT_TRUE(received) << received.error().message;
  ASSERT_TRUE(received->key);
  EXPECT_EQ(received->key->view(), "sk-the-real-key");
  EXPECT_EQ(received->plan.task, sample().task);
}

TEST(AttemptPlan, ValuesOfMcpHeadersComeBehindThePlanAndAreNoPartOfIt) {
  EXPECT_EQ(encode_plan(sample()).find("mcp-secret"), std::string::npos);
  const base::Fd stream = stream_of(frame_plan(sample()) + "sk-the-real-key");
  const auto received = receive_plan(stream.get());
  ASSERT_TRUE(received) << received.error().message;
  ASSERT_EQ(received->mcp_secrets.size(), 2u);
  EXPECT_EQ(received->mcp_secrets[0].view(), "Bearer mcp-secret");
  EXPECT_EQ(received->mcp_secrets[1].view(), "blue");
  ASSERT_EQ(received->plan.mcp.size(), 2u);
  EXPECT_EQ(received->plan.mcp[0].headers.at(0).name, "Authorization");
  EXPECT_TRUE(received->plan.mcp[0].headers.at(0).value.empty());
}

TEST(AttemptPlan, TooManyMcpHeadersAreRefused) {
  AttemptPlan plan = sample();
  plan.mcp[1].headers.assign(300, {"X", "y"});
  EXPECT_FALSE(decode_plan(encode_plan(plan)));
  plan.mcp[1].headers.assign(200, {"X", "y"});
  EXPECT_TRUE(decode_plan(encode_plan(plan)));
}

TEST(AttemptPlan, UpstreamWithoutKeyIsRefused) {
  const base::Fd stream = stream_of(frame_plan(sample()));
  EXPECT_FALSE(receive_plan(stream.get()));
}

TEST(AttemptPlan, SimulatedProviderNeedsNoKey) {
  AttemptPlan plan = sample();
  plan.provider = Provider::sim;
  const base::Fd stream = stream_of(frame_plan(plan));
  const auto received = receive_plan(stream.get());
  ASSERT_TRUE(received);
  EXPECT_FALSE(received->key);
}

TEST(AttemptPlan, CutStreamIsRefusedWhereverItIsCut) {
  AttemptPlan plan = sample();
  plan.provider = Provider::sim;
  const std::string whole = frame_plan(plan);
  for (std::size_t cut = 0; cut < whole.size(); cut += 13) {
    const base::Fd stream = stream_of(std::string_view(whole).substr(0, cut));
    EXPECT_FALSE(receive_plan(stream.get())) << cut;
  }
  const base::Fd stream = stream_of("ffffffff\n{}");
  EXPECT_FALSE(receive_plan(stream.get()));
}

}  // namespace
}  // namespace agentrouter::keeper
