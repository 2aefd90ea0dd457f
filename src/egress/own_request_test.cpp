#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using ::testing::HasSubstr;

class OwnRequestTest : public EgressTest {
 protected:
  // What `ask` gives for one request, within `within`.
  Result<Answer> asked(const std::string& path, const std::string& body,
                       std::chrono::milliseconds within = 20s) {
    run(ask_own(path, body, within));
    return std::move(*answer_);
  }

 private:
  Task<void> ask_own(std::string path, std::string body, std::chrono::milliseconds within) {
    auto answer = co_await egress->ask(std::move(path), std::move(body), base::after(within));
    answer_.emplace(std::move(answer));
  }
  std::optional<Result<Answer>> answer_;
};

Task<void> refuse_for_a_minute(Provider&, net::Exchange& exchange) {
  auto response = reply("application/json", "{}");
  response.status = 429;
  co_await exchange.respond(std::move(response));
}

Task<void> echo_the_key(Provider&, net::Exchange& exchange) {
  auto response = reply("application/json", std::string(exchange.request().headers.get("authorization")));
  co_await exchange.respond(std::move(response));
}

Task<void> say_too_much(Provider&, net::Exchange& exchange) {
  co_await exchange.respond(reply("application/json", std::string(2u << 20, 'x')));
}

Task<void> leave_open(Provider& provider, net::Exchange&) {
  co_await provider.go.wait_until(soon());
}

TEST_F(OwnRequestTest, GoesToTheUpstreamWithTheRealKey) {
  const auto answer = asked("/v1/responses", R"({"model":"m"})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, R"({"ok":true})");
  ASSERT_EQ(provider.requests.size(), 1u);
  const auto& seen = provider.requests.front();
  EXPECT_EQ(seen.body, R"({"model":"m"})");
  EXPECT_EQ(seen.request.method, "POST");
  EXPECT_EQ(seen.request.path, "/v1/responses");
  EXPECT_EQ(seen.request.headers.get("authorization"), "Bearer " + std::string(real_key));
  ASSERT_EQ(log.done.size(), 1u);
  EXPECT_TRUE(log.done.front().by_keeper);
  EXPECT_EQ(log.asked, 1);
}

TEST_F(OwnRequestTest, TokensOfTheAnswerAreCounted) {
  provider.script = [](Provider&, net::Exchange& exchange) {
    return exchange.respond(reply("application/json", R"({"usage":{"input_tokens":7,"output_tokens":3}})"));
  };
  ASSERT_TRUE(asked("/v1/responses", "{}"));
  ASSERT_TRUE(log.done.front().usage);
  EXPECT_EQ(log.done.front().usage->input_tokens, 7);
}

TEST_F(OwnRequestTest, ARefusalComesBackAsItIs) {
  provider.script = refuse_for_a_minute;
  EXPECT_EQ(asked("/v1/responses", "{}")->status, 429);
  EXPECT_EQ(log.done.front().status, 429);
}

TEST_F(OwnRequestTest, AnAnswerThatHoldsTheKeyIsDropped) {
  provider.script = echo_the_key;
  const auto answer = asked("/v1/responses", "{}");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "key_echo");
  EXPECT_EQ(log.done.front().reason, "key_echo");
}

TEST_F(OwnRequestTest, AnAnswerBeyondTheLimitIsAnError) {
  provider.script = say_too_much;
  EXPECT_EQ(asked("/v1/responses", "{}").error().code, base::Code::exhausted);
}

TEST_F(OwnRequestTest, AProviderThatDoesNotAnswerIsATimeout) {
  provider.script = leave_open;
  EXPECT_EQ(asked("/v1/responses", "{}", 20ms).error().code, base::Code::timeout);
  EXPECT_EQ(log.done.front().reason, "provider_timeout");
}

TEST_F(OwnRequestTest, WithoutSuchAProviderNothingLeaves) {
  const auto answer = asked("/v1/messages", "{}");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "provider_unconfigured");
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(OwnRequestTest, ARunThatUsedUpItsTrafficAsksNoMore) {
  config.total_bytes = 0;
  EXPECT_EQ(asked("/v1/responses", "{}").error().reason, "egress_limit");
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(OwnRequestTest, NothingLeavesWhenTheObserverRefuses) {
  log.answer = base::fail(base::Code::exhausted, "the disk is full", "storage_full");
  EXPECT_EQ(asked("/v1/responses", "{}").error().reason, "storage_full");
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(OwnRequestTest, TheSimulatorTakesTheUpstreamsPlace) {
  sim::Simulator simulator;
  config.simulator = &simulator;
  const auto answer = asked("/v1/responses", R"({"input":"sim: reply Hello."})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(answer->body, HasSubstr("Hello."));
  EXPECT_EQ(log.done.front().host, "sim");
}

}  // namespace
}  // namespace agentrouter::egress
