// What a provider that reports its usage late, wrongly or never may cost.

#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Purse final : public SpendingObserver {
 public:
  bool on_spent(const policy::Amount& delta) override {
    spent = spent + delta;
    ++times;
    return writes;
  }
  void on_end(const SpendingEnd& end) override { ends.push_back(end); }
  void on_need(const policy::Amount& have, const policy::Amount& needed) override {
    wishes.push_back({have, needed});
    if (wished) wished();
  }

  policy::Amount spent;
  int times = 0;
  bool writes = true;
  std::vector<SpendingEnd> ends;
  std::vector<std::pair<policy::Amount, policy::Amount>> wishes;
  std::function<void()> wished;
};

class Spent : public EgressTest {
 protected:
  static constexpr policy::Price price{.input = 1'000'000,
                                       .cached_input = 100'000,
                                       .cache_write = 1'250'000,
                                       .output = 10'000'000,
                                       .max_output_tokens = 4000};

  void limit(SpendingRules rules) {
    if (rules.prices.empty()) rules.prices.put("gpt-*", price);
    spending = std::make_unique<Spending>(io.get_executor(), std::move(rules), purse);
    config.spending = spending.get();
  }
  static std::string body(const std::string& model = "gpt-5.5", int text = 400) {
    return R"({"model":")" + model + R"(","input":")" + std::string(static_cast<std::size_t>(text), 'x') +
           R"("})";
  }
  // An answer of so many events of 400 bytes of text, and what it says about its usage at the end.
  void answers(int events, std::string usage) {
    provider.script = [=](Provider&, net::Exchange& exchange) -> Task<void> {
      return stream(exchange, events, usage);
    };
  }
  static Task<void> stream(net::Exchange& exchange, int events, std::string usage);
  Task<void> asks(int times);
  Task<void> asks_at_once(int times);
  Task<void> one(std::string wire, std::string status);
  Task<void> keeper_asks();

  Purse purse;
  std::unique_ptr<Spending> spending;
  std::vector<std::string> seen;
};

Task<void> Spent::stream(net::Exchange& exchange, int events, std::string usage) {
  auto* writer = co_await exchange.start_stream(reply("text/event-stream"));
  for (int i = 0; i < events; ++i) {
    const std::string piece =
        R"(data: {"type":"response.output_text.delta","delta":")" + std::string(400, 'y') + "\"}\n\n";
    const bool written = co_await writer->write(piece);
    if (!written) co_return;
  }
  const std::string end = R"(data: {"type":"response.completed","response":{"output":[])" +
                          (usage.empty() ? "" : R"(,"usage":)" + usage) + "}}\n\n";
  std::ignore = co_await writer->write(end);
}

Task<void> Spent::asks(int times) {
  for (int i = 0; i < times; ++i) {
    auto answer = co_await ask(post("/v1/responses", body()));
    seen.push_back(std::move(answer));
  }
}

Task<void> Spent::asks_at_once(int times) {
  std::vector<std::unique_ptr<Agent>> agents;
  for (int i = 0; i < times; ++i) {
    auto agent = co_await connect();
    co_await agent->send(post("/v1/responses", body()));
    agents.push_back(std::move(agent));
  }
  for (auto& agent : agents) {
    auto answer = co_await agent->rest();
    seen.push_back(std::move(answer));
  }
}

Task<void> Spent::one(std::string wire, std::string status) {
  auto answer = co_await ask(std::move(wire));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + status));
  seen.push_back(std::move(answer));
}

TEST_F(Spent, AnHonestReportIsWhatItCosts) {
  limit({.limits = {.tokens = 100'000}});
  answers(1, R"({"input_tokens":100,"output_tokens":80})");
  run(asks(1));
  EXPECT_EQ(180, purse.spent.tokens);
  EXPECT_EQ(100 * 1'000 + 80 * 10'000, purse.spent.cost);
  EXPECT_EQ(policy::Belief::reported, log.done.at(0).belief);
  EXPECT_EQ(0, spending->ledger().reserved().tokens);
}

TEST_F(Spent, TheEstimatedInputIsSpentBeforeTheRequestLeaves) {
  limit({.limits = {.tokens = 100'000}});
  policy::Amount before;
  provider.early = [&](Provider&, net::Exchange& exchange) -> Task<void> {
    before = purse.spent;
    return exchange.respond(reply("application/json", "{}"));
  };
  run(asks(1));
  EXPECT_GE(before.tokens, 100);
}

TEST_F(Spent, ARequestThatDoesNotFitDoesNotLeave) {
  limit({.limits = {.tokens = 50}});
  run(one(post("/v1/responses", body()), "403"));
  EXPECT_TRUE(provider.requests.empty());
  EXPECT_EQ("limit_exceeded", log.denied.at(0).reason);
  ASSERT_EQ(1u, purse.ends.size());
  EXPECT_EQ("maxTokens", purse.ends[0].limit);
  EXPECT_EQ(0, purse.spent.tokens);
}

TEST_F(Spent, MoneyIsALimitOfItsOwn) {
  limit({.limits = {.cost = 10'000}});
  run(one(post("/v1/responses", body()), "403"));
  EXPECT_EQ("maxCostUsd", purse.ends.at(0).limit);
}

TEST_F(Spent, AStreamIsCutWhenItsTextPassesWhatIsLeft) {
  limit({.limits = {.tokens = 1000}});
  answers(5000, "");  // two megabytes, and no usage ever
  run(asks(1));
  EXPECT_EQ("limit_exceeded", log.done.at(0).reason);
  EXPECT_LT(log.done.at(0).bytes_in, 64u * 1024);
  EXPECT_EQ("maxTokens", purse.ends.at(0).limit);
  EXPECT_LT(purse.spent.tokens, 1000 + 16 * 1024 / 4 + 1000);  // what had come in one read
  EXPECT_THAT(seen.at(0), testing::Not(HasSubstr("response.completed")));
}

TEST_F(Spent, AProviderThatNeverReportsIsCountedHere) {
  limit({.limits = {.tokens = 2000}});
  answers(4, "");  // 1600 bytes: 400 tokens
  run(asks(6));
  EXPECT_EQ(policy::Belief::counted, log.done.at(0).belief);
  EXPECT_EQ(1u, purse.ends.size());
  EXPECT_LE(purse.spent.tokens, 2000 + 600);
  EXPECT_LT(provider.requests.size(), 6u);
}

TEST_F(Spent, AProviderThatReportsTooLittleIsNotBelieved) {
  limit({.limits = {.tokens = 2000}});
  answers(8, R"({"input_tokens":0,"output_tokens":1})");
  run(asks(20));
  EXPECT_EQ(policy::Belief::corrected, log.done.at(0).belief);
  EXPECT_EQ(1u, purse.ends.size());
  EXPECT_LT(provider.requests.size(), 8u);
  EXPECT_LE(purse.spent.tokens, 2000 + 900);
}

TEST_F(Spent, NegativeNumbersGiveNothingBack) {
  limit({.limits = {.tokens = 2000}});
  answers(4, R"({"input_tokens":-5000,"output_tokens":-1})");
  run(asks(6));
  EXPECT_EQ(1u, purse.ends.size());
  EXPECT_GE(purse.spent.tokens, 1500);
}

TEST_F(Spent, AbsurdNumbersCostNoMoreThanOneAnswerCan) {
  limit({.limits = {.tokens = 10'000'000}});
  answers(1, R"({"input_tokens":100,"output_tokens":999999999999})");
  run(asks(1));
  EXPECT_EQ(policy::Belief::corrected, log.done.at(0).belief);
  EXPECT_EQ(100 + 4000, purse.spent.tokens);
  EXPECT_TRUE(purse.ends.empty());
}

TEST_F(Spent, WhatTheProviderRefusesCostsNothing) {
  limit({.limits = {.tokens = 2000}});
  provider.script = [](Provider&, net::Exchange& exchange) -> Task<void> {
    auto response = reply("application/json", R"({"usage":{"input_tokens":5,"output_tokens":5}})");
    response.status = 429;
    return exchange.respond(std::move(response));
  };
  run(asks(3));
  EXPECT_EQ(0, purse.spent.tokens);
  EXPECT_EQ(0, spending->ledger().reserved().tokens);
}

TEST_F(Spent, ManyAtOnceShareWhatIsLeft) {
  limit({.limits = {.tokens = 3000}});
  answers(4, R"({"input_tokens":100,"output_tokens":400})");
  run(asks_at_once(20));
  EXPECT_EQ(20u, seen.size());
  EXPECT_EQ(1u, purse.ends.size());
  EXPECT_LE(purse.spent.tokens, 3000 + 500);
  EXPECT_GE(purse.spent.tokens, 2000);
  EXPECT_EQ(0, spending->ledger().reserved().tokens);
}

TEST_F(Spent, AModelWithoutAPriceEndsARunUnderALimitOfCost) {
  limit({.limits = {.cost = policy::nano_per_usd}});
  run(one(post("/v1/responses", body("o9-secret")), "403"));
  EXPECT_TRUE(provider.requests.empty());
  EXPECT_EQ("model_price_unknown", purse.ends.at(0).code);
  EXPECT_THAT(purse.ends.at(0).reason, HasSubstr("o9-secret"));
}

TEST_F(Spent, WhatIsNotUnderstoodDoesNotLeaveUnderALimit) {
  limit({.limits = {.tokens = 100'000}});
  run(one(post("/v1/responses", R"({"model":"gpt-a","model":"gpt-b"})"), "400"));
  EXPECT_TRUE(provider.requests.empty());
  EXPECT_EQ("request_not_understood", log.denied.at(0).reason);
  EXPECT_TRUE(purse.ends.empty());
}

TEST_F(Spent, WithoutALimitWhatIsNotUnderstoodPasses) {
  limit({});
  run(one(post("/v1/responses", "no json"), "200"));
  EXPECT_EQ(1u, provider.requests.size());
  EXPECT_FALSE(spending->cost());
}

TEST_F(Spent, WithoutALimitCostIsCountedWhereThePriceIsKnown) {
  limit({});
  answers(1, R"({"input_tokens":100,"output_tokens":80})");
  run(asks(2));
  EXPECT_EQ(2 * (100 * 1'000 + 80 * 10'000), spending->cost());
}

TEST_F(Spent, NothingLeavesWhenItCannotBeWrittenDown) {
  limit({.limits = {.tokens = 100'000}});
  purse.writes = false;
  run(one(post("/v1/responses", body()), "503"));
  EXPECT_TRUE(provider.requests.empty());
}

TEST_F(Spent, ABudgetThatIsUsedUpEndsTheRun) {
  limit({.allowance = policy::Amount{50, policy::unbounded}, .hold = 20ms});
  run(one(post("/v1/responses", body()), "403"));
  EXPECT_EQ("budget", purse.ends.at(0).limit);
  ASSERT_FALSE(purse.wishes.empty());
  EXPECT_EQ(50, purse.wishes[0].first.tokens);
  EXPECT_GE(purse.wishes[0].second.tokens, 100);
}

TEST_F(Spent, ARequestWaitsForMoreAllowance) {
  limit({.allowance = policy::Amount{50, policy::unbounded}, .hold = 20s});
  answers(1, R"({"input_tokens":100,"output_tokens":80})");
  purse.wished = [this] { asio::post(io, [this] { spending->grant({10'000, policy::unbounded}, ""); }); };
  run(one(post("/v1/responses", body()), "200"));
  EXPECT_EQ(180, purse.spent.tokens);
  EXPECT_TRUE(purse.ends.empty());
}

TEST_F(Spent, ABudgetThatGivesNothingMoreIsNotWaitedFor) {
  limit({.allowance = policy::Amount{50, policy::unbounded}, .hold = 20s});
  purse.wished = [this] {
    asio::post(io, [this] { spending->grant({50, policy::unbounded}, "of the day, in tokens"); });
  };
  run(one(post("/v1/responses", body()), "403"));
  EXPECT_THAT(purse.ends.at(0).reason, HasSubstr("of the day, in tokens"));
}

TEST_F(Spent, MoreIsAskedForWhenHalfIsSpent) {
  limit({.allowance = policy::Amount{1000, policy::unbounded}});
  answers(1, R"({"input_tokens":200,"output_tokens":100})");
  run(asks(3));
  ASSERT_EQ(1u, purse.wishes.size());
  EXPECT_EQ(1000, purse.wishes[0].first.tokens);
}

Task<void> Spent::keeper_asks() {
  auto answer = co_await egress->ask("/v1/responses", body(), soon());
  EXPECT_FALSE(answer);
  EXPECT_EQ("limit_exceeded", answer.error().reason);
}

TEST_F(Spent, TheKeepersOwnRequestsCountToo) {
  limit({.limits = {.tokens = 50}});
  run(keeper_asks());
  EXPECT_TRUE(provider.requests.empty());
  EXPECT_EQ("maxTokens", purse.ends.at(0).limit);
}

TEST_F(Spent, CountingTokensIsFree) {
  config.anthropic = upstream("", BaseUrl::without_version);
  limit({.limits = {.tokens = 50}});
  run(one(post("/v1/messages/count_tokens", body("claude-x", 4000)), "200"));
  EXPECT_EQ(0, purse.spent.tokens);
  EXPECT_EQ(0, purse.times);
}

TEST_F(Spent, TheRunsTrafficIsCutInTheMiddle) {
  config.total_bytes = 10'000;
  answers(5000, "");
  run(asks(2));
  EXPECT_EQ("egress_limit", log.done.at(0).reason);
  EXPECT_LT(log.done.at(0).bytes_in, 64u * 1024);
  EXPECT_THAT(seen.at(1), StartsWith("HTTP/1.1 403"));
}

}  // namespace
}  // namespace agentrouter::egress
