#include "policy/budgets.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace agentrouter::policy {
namespace {

base::Time at(const char* text) {
  return base::parse_iso(text).value();
}

TEST(BudgetPeriods, AreDaysAndMonthsOfUtc) {
  EXPECT_EQ("2026-11-29", day_of(at("2026-11-29T23:59:59.999Z")));
  EXPECT_EQ("2026-12-01", day_of(at("2026-12-01T00:00:00.000Z")));
  EXPECT_EQ("2026-12", month_of("2026-12-01"));
  EXPECT_EQ(at("2026-12-01T00:00:00.000Z"), end_of("2026-11-30"));
  EXPECT_EQ(at("2028-03-01T00:00:00.000Z"), end_of("2028-02-29"));
  EXPECT_EQ(at("2027-01-01T00:00:00.000Z"), end_of("2026-12"));
}

TEST(Allowance, IsNoMoreThanAnyBudgetHasLeft) {
  std::vector<BudgetState> budgets(2);
  budgets[0].limit.tokens = 1000;
  budgets[1].limit.tokens = 100;
  budgets[1].spent.tokens = 40;
  budgets[1].reserved.tokens = 40;
  EXPECT_EQ((Amount{5, unbounded}), next_allowance(budgets, {500, 0}, {}));
  EXPECT_EQ((Amount{15, unbounded}), next_allowance(budgets, {500, 0}, {15, 0}));
  EXPECT_EQ((Amount{20, unbounded}), next_allowance(budgets, {500, 0}, {900, 0}));
  budgets[1].reserved.tokens = 60;
  EXPECT_EQ(0, next_allowance(budgets, {500, 0}, {900, 0}).tokens);
}

TEST(Allowance, WhatIsOnlyReservedIsNotExhausted) {
  std::vector<BudgetState> budgets(1);
  budgets[0].limit.cost = 100;
  budgets[0].reserved.cost = 100;
  EXPECT_EQ(nullptr, exhausted(budgets));
  budgets[0].spent.cost = 100;
  EXPECT_EQ(&budgets[0], exhausted(budgets));
}

TEST(Lots, AreSpentOldestFirstAndGivenBackNewestFirst) {
  std::vector<Lot> lots{{"2026-11-28", {10, 0}, {}}, {"2026-11-29", {10, 0}, {}}};
  auto changes = spend(lots, {15, 0});
  EXPECT_EQ(10, changes[0].spent.tokens);
  EXPECT_EQ(5, changes[1].unreserved.tokens);
  changes = spend(lots, {-7, 0});
  EXPECT_EQ(-5, changes[1].spent.tokens);
  EXPECT_EQ(-2, changes[0].unreserved.tokens);
}

TEST(Lots, WhatIsBeyondThemIsSpentWithoutHavingBeenReserved) {
  std::vector<Lot> lots{{"2026-11-29", {10, 0}, {}}};
  auto changes = spend(lots, {25, 3});
  EXPECT_EQ(25, changes[0].spent.tokens);
  EXPECT_EQ(10, changes[0].unreserved.tokens);
  EXPECT_EQ(3, changes[0].spent.cost);
  EXPECT_EQ(0, changes[0].unreserved.cost);
  changes = spend(lots, {-20, 0});
  EXPECT_EQ(-5, changes[0].unreserved.tokens);
  EXPECT_EQ((Amount{5, 0}), unspent(lots[0]));
}

// In any order of settling and correcting, the changes sum up to what was spent, and what is reserved is what
// was granted less what was spent of it: never below zero.
TEST(Lots, NothingIsLostOrDoubledInAnyOrder) {
  std::mt19937_64 random(7);
  const auto pick = [&](std::int64_t most) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most + 1));
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<Lot> lots(1 + static_cast<std::size_t>(pick(3)));
    std::vector<Amount> spent(lots.size()), reserved(lots.size());
    for (std::size_t i = 0; i < lots.size(); ++i) reserved[i] = lots[i].granted = {pick(100), pick(100)};
    Amount total;
    for (int step = 0; step < 40; ++step) {
      const bool back = pick(3) == 0;
      const Amount amount =
          back ? Amount{-pick(total.tokens), -pick(total.cost)} : Amount{pick(60), pick(60)};
      total = total + amount;
      for (const auto& change : spend(lots, amount)) {
        spent[change.lot] = spent[change.lot] + change.spent;
        reserved[change.lot] = reserved[change.lot] - change.unreserved;
      }
      Amount sum;
      for (std::size_t i = 0; i < lots.size(); ++i) {
        sum = sum + spent[i];
        EXPECT_EQ(unspent(lots[i]), reserved[i]);
        EXPECT_GE(spent[i].tokens, 0);
        EXPECT_GE(spent[i].cost, 0);
      }
      EXPECT_EQ(total, sum);
    }
  }
}

}  // namespace
}  // namespace agentrouter::policy
