#pragma once
// What every backend must do about spending: of runs, in the periods of budgets, and allowances. Included
// beside store_conformance.h, whose fixture it uses.

#include "store/store_conformance.h"

namespace agentrouter::store {

class SpendingConformance : public StoreConformance {};

TEST_P(SpendingConformance, WhatARunHasSpentIsKeptUnderItsId) {
  const auto id = testing::run_id("r");
  EXPECT_FALSE(read([&](Reader& reader) { return reader.spending(id); }));
  write([&](Transaction& tx) { tx.put_spending({id, "key_a", 5, 7, R"({"tokens":5})"}); });
  write([&](Transaction& tx) { tx.put_spending({id, "key_a", 6, 8, ""}); });
  reopen();
  const auto kept = read([&](Reader& reader) { return reader.spending(id); });
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->api_key, "key_a");
  EXPECT_EQ(kept->tokens, 6);
  EXPECT_EQ(kept->nano_usd, 8);
  EXPECT_EQ(kept->used, "");
}

TEST_P(SpendingConformance, APeriodOfABudgetIsZeroUntilSomethingIsWritten) {
  EXPECT_EQ(read([](Reader& reader) { return reader.budget_period("key:a", "2026-11"); }).spent_tokens, 0);
  write([](Transaction& tx) {
    tx.put_budget_period({"key:a", "2026-11", 1, 2, 3, 4});
    tx.put_budget_period({"key:a", "2026-12", 5, 0, 0, 0});
    tx.put_budget_period({"key:0", "2026-11", 9, 0, 0, 0});
    tx.put_budget_period({"key:a", "2026-11", 10, 20, 30, 40});
  });
  const auto row = read([](Reader& reader) { return reader.budget_period("key:a", "2026-11"); });
  EXPECT_EQ(row.spent_tokens, 10);
  EXPECT_EQ(row.spent_nano_usd, 20);
  EXPECT_EQ(row.reserved_tokens, 30);
  EXPECT_EQ(row.reserved_nano_usd, 40);
  const auto all = read([](Reader& reader) { return reader.budget_periods("2026-11"); });
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].scope, "key:0");
}

TEST_P(SpendingConformance, AnAllowanceIsAListOfLotsUntilItIsDeleted) {
  const auto id = testing::run_id("r");
  write([&](Transaction& tx) {
    tx.put_allowance_lot({id, 2, "2026-11-30", 20, 0, 0, 0});
    tx.put_allowance_lot({id, 1, "2026-11-29", 10, 1, 0, 0});
    tx.put_allowance_lot({testing::run_id("other"), 1, "2026-11-29", 99, 0, 0, 0});
    tx.put_allowance_lot({id, 1, "2026-11-29", 10, 1, 8, 1});
  });
  const auto lots = read([&](Reader& reader) { return reader.allowance(id); });
  ASSERT_EQ(lots.size(), 2u);
  EXPECT_EQ(lots[0].day, "2026-11-29");
  EXPECT_EQ(lots[0].spent_tokens, 8);
  EXPECT_EQ(lots[0].spent_nano_usd, 1);
  EXPECT_EQ(lots[1].granted_tokens, 20);
  write([&](Transaction& tx) { tx.delete_allowance(id); });
  EXPECT_TRUE(read([&](Reader& reader) { return reader.allowance(id); }).empty());
  EXPECT_EQ(read([](Reader& reader) { return reader.allowance(testing::run_id("other")); }).size(), 1u);
}

}  // namespace agentrouter::store
