#include "apps/spending_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;

class SpendingSettings : public ::testing::Test {
 protected:
  void set(const std::string& key, const std::string& text) {
    ASSERT_TRUE(is_spending_setting(key)) << key;
    const auto done = set_spending_value(config_, key, text);
    ASSERT_TRUE(done) << done.error().message;
  }
  std::string refusal(const std::string& key, const std::string& text) {
    const auto done = set_spending_value(config_, key, text);
    return done ? "taken" : done.error().message;
  }
  void price(const std::string& model) {
    set("prices." + model + ".input", "1.25");
    set("prices." + model + ".output", "10");
    set("prices." + model + ".max_output_tokens", "16000");
  }

  SpendingConfig config_;
};

TEST_F(SpendingSettings, AreReadAndPrintedAsTheyAreRead) {
  set("limits.max_tokens", "5000");
  set("limits.max_cost_usd", "2.5");
  set("limits.default.max_actions", "7");
  set("budgets.workspace.day_tokens", "1000");
  set("budgets.key.month_usd", "20");
  set("budgets.allowance_usd", "0.5");
  price("gpt-5.5*");
  ASSERT_TRUE(settle_spending(config_, "gpt-5.5", "claude"));
  const auto& rules = config_.rules;
  EXPECT_EQ(rules.limits.most.tokens, 5000);
  EXPECT_EQ(rules.limits.most.cost, 2'500'000'000);
  EXPECT_EQ(rules.limits.defaults.actions, 7);
  EXPECT_EQ(rules.budgets.workspace_day.tokens, 1000);
  EXPECT_EQ(rules.budgets.key_month.cost, 20 * policy::nano_per_usd);
  EXPECT_EQ(rules.budgets.allowance.cost, policy::nano_per_usd / 2);
  const auto* found = rules.prices.find("gpt-5.5-mini");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->input, 1'250'000);
  EXPECT_EQ(found->cached_input, 1'250'000);
  EXPECT_EQ(found->cache_write, 1'562'500);
  EXPECT_EQ(found->max_output_tokens, 16'000);
  const auto text = print_spending(config_);
  for (const auto* line : {"[limits]\nmax_tokens = 5000\nmax_cost_usd = \"2.5\"", "[limits.default]\nmax_actions = 7",
                           "[prices.\"gpt-5.5*\"]\ninput = \"1.25\"", "workspace.day_tokens = 1000",
                           "key.month_usd = \"20\"", "allowance_usd = \"0.5\""})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST_F(SpendingSettings, NothingIsPrintedWhenNothingIsSet) {
  EXPECT_EQ(print_spending(config_), "");
}

TEST_F(SpendingSettings, SayWhatIsWanted) {
  EXPECT_THAT(refusal("limits.max_tokens", "0"), HasSubstr("a whole number from 1"));
  EXPECT_THAT(refusal("limits.max_tokens", "many"), HasSubstr("a whole number"));
  EXPECT_THAT(refusal("limits.max_cost_usd", "-1"), HasSubstr("US dollars above 0"));
  EXPECT_THAT(refusal("limits.tokens", "5"), HasSubstr("unknown key"));
  EXPECT_THAT(refusal("prices.m.input", "0.0000001"), HasSubstr("at most six places"));
  EXPECT_THAT(refusal("prices.m.more", "1"), HasSubstr("unknown key"));
  EXPECT_THAT(refusal("prices.input", "1"), HasSubstr("unknown key"));
  EXPECT_THAT(refusal("budgets.workspace.week_usd", "1"), HasSubstr("unknown key"));
  EXPECT_THAT(refusal("budgets.workspace.day_usd", "x"), HasSubstr("US dollars"));
}

TEST_F(SpendingSettings, APriceThatLacksAPartAndADefaultOverTheMaximumAreErrors) {
  set("prices.m.input", "1");
  EXPECT_THAT(settle_spending(config_, "", "").error().message, HasSubstr("[prices.\"m\"] has no output"));
  config_ = {};
  set("limits.max_tokens", "5");
  set("limits.default.max_tokens", "6");
  EXPECT_THAT(settle_spending(config_, "", "").error().message, HasSubstr("limits.default.max_tokens"));
}

}  // namespace
}  // namespace agentrouter::apps
