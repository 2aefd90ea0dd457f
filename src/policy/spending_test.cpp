#include "policy/spending.h"

#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

constexpr Price sonnet{.input = 3'000'000,
                       .cached_input = 300'000,
                       .cache_write = 3'750'000,
                       .output = 15'000'000,
                       .max_output_tokens = 64'000};

TEST(Money, IsReadAsWholePartsOfADollar) {
  EXPECT_EQ(1'250'000'000, parse_parts("1.25", nano_per_usd));
  EXPECT_EQ(75'000, parse_parts("0.075", pico_per_usd_million));
  EXPECT_EQ(500'000'000, parts_of(0.5, nano_per_usd));
  EXPECT_EQ(100'000'000, parts_of(0.1, nano_per_usd));
  EXPECT_EQ(most_usd, parse_parts("1000000", nano_per_usd));
}

TEST(Money, WhatIsNegativeTooFineOrNoNumberIsRefused) {
  for (const auto* text : {"-1", "", ".", "1e3", "1.2.3", "0.0000001", "1000001", "1000000.1", "nan"})
    EXPECT_FALSE(parse_parts(text, pico_per_usd_million)) << text;
  EXPECT_FALSE(parts_of(-0.1, nano_per_usd));
  EXPECT_FALSE(parts_of(1e300, nano_per_usd));
}

TEST(Money, IsShownWithoutTrailingZeros) {
  EXPECT_EQ("0", usd_text(0));
  EXPECT_EQ("1.25", usd_text(1'250'000'000));
  EXPECT_EQ("0.000000001", usd_text(1));
  EXPECT_EQ("-0.5", usd_text(-500'000'000));
}

TEST(Money, SumsAndProductsStopAtTheLargestNumber) {
  EXPECT_EQ(unbounded, add_saturated(unbounded, 1));
  EXPECT_EQ(unbounded, price_of(unbounded, unbounded));
  EXPECT_EQ(1, price_of(1, 1));  // rounded up
  EXPECT_EQ(0, price_of(-5, 1'000'000));
}

TEST(PriceTable, AnExactNameCountsBeforePatternsAndTheLongestPatternFirst) {
  PriceTable table;
  table.put("gpt-5*", {.input = 1});
  table.put("gpt-5-mini*", {.input = 2});
  table.put("gpt-5-mini-x", {.input = 3});
  EXPECT_EQ(1, table.find("gpt-5.5")->input);
  EXPECT_EQ(2, table.find("gpt-5-mini-2026")->input);
  EXPECT_EQ(3, table.find("gpt-5-mini-x")->input);
  EXPECT_EQ(nullptr, table.find("gpt-4"));
}

TEST(PriceTable, IsTheSameAfterItsDocument) {
  PriceTable table;
  table.put("claude-*", sonnet);
  const auto again = PriceTable::from_json(table.to_json()).value();
  EXPECT_EQ(sonnet.cache_write, again.find("claude-opus")->cache_write);
  EXPECT_FALSE(PriceTable::from_json({{"x", json::object{{"input", -1}}}}));
}

TEST(Settlement, WhatAProviderReportsIsTaken) {
  const auto settled = settle_usage({.input = 1000, .cached_input = 400, .output = 50},
                                    {.bytes = 5000, .text_bytes = 4000}, 180, 64'000);
  EXPECT_EQ(Belief::reported, settled.belief);
  EXPECT_EQ(1050, settled.used.tokens());
  // 600 fresh, 400 cached, 50 out.
  EXPECT_EQ(600 * 3'000 + 400 * 300 + 50 * 15'000, cost_of(settled.used, &sonnet));
}

TEST(Settlement, WithoutAReportOurOwnCountIsTaken) {
  const auto settled = settle_usage({}, {.bytes = 5000, .text_bytes = 4000, .images = 1}, 400, 64'000);
  EXPECT_EQ(Belief::counted, settled.belief);
  EXPECT_EQ(1000 + 1600, settled.used.input);
  EXPECT_EQ(100, settled.used.output);
}

TEST(Settlement, ReportsBelowWhatIsCertainAreRaised) {
  const auto settled =
      settle_usage({.input = 0, .output = 1}, {.bytes = 5000, .text_bytes = 4000}, 6000, 64'000);
  EXPECT_EQ(Belief::corrected, settled.belief);
  EXPECT_EQ(800, settled.used.input);
  EXPECT_EQ(1200, settled.used.output);
}

TEST(Settlement, ReportsBeyondWhatIsPossibleAreCut) {
  const auto settled = settle_usage({.input = unbounded, .cached_input = unbounded, .output = unbounded},
                                    {.bytes = 5000, .text_bytes = 4000}, 100, 64'000);
  EXPECT_EQ(Belief::corrected, settled.belief);
  EXPECT_EQ(64'000, settled.used.output);
  EXPECT_EQ(2'000'000, settled.used.input);
}

TEST(Settlement, NothingIsBelowZeroWhateverIsReported) {
  for (const std::int64_t lie :
       {std::int64_t{-1}, std::int64_t{-1'000'000}, -unbounded, std::int64_t{0}, unbounded}) {
    const auto settled = settle_usage({.input = lie, .cached_input = lie, .cache_write = lie, .output = lie},
                                      {.bytes = 10, .text_bytes = 8}, 3, 100);
    const auto& used = settled.used;
    EXPECT_GE(used.input, 0) << lie;
    EXPECT_GE(used.output, 0) << lie;
    EXPECT_GE(used.cached_input, 0) << lie;
    EXPECT_GE(used.cache_write, 0) << lie;
    EXPECT_LE(used.cached_input + used.cache_write, used.input) << lie;
    EXPECT_GE(cost_of(used, &sonnet), 0) << lie;
  }
}

}  // namespace
}  // namespace agentrouter::policy
