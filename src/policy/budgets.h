#pragma once
// Budgets over runs: so much in a day and in a month (UTC), for all runs of a workspace and for those of an
// API key. A run that is carried out holds an allowance, reserved in each budget that it counts for. What it
// spends moves from reserved to spent, in the day in which it was reserved.

#include <string>
#include <vector>

#include "base/clock.h"
#include "policy/spending.h"

namespace agentrouter::policy {

struct BudgetLimit {
  std::optional<std::int64_t> tokens = {};
  std::optional<NanoUsd> cost = {};
};
struct BudgetRules {
  BudgetLimit workspace_day, workspace_month, key_day, key_month;
  Amount allowance = {500'000, 2 * nano_per_usd};  // what a run reserves at a time, at most

  // Whether there is any at all, and one in money: then each model needs a price.
  [[nodiscard]] bool any() const;
  [[nodiscard]] bool in_money() const;
};

// "2026-11-29", "2026-11"; the day's month.
[[nodiscard]] std::string day_of(base::Time time);
[[nodiscard]] std::string month_of(std::string_view day);
// When the period is over.
[[nodiscard]] base::Time end_of(std::string_view period);

// One budget as it stands.
struct BudgetState {
  std::string scope;   // "workspace:default", "key:key_0123456789ab"
  std::string period;  // a day or a month
  BudgetLimit limit;
  Amount spent;
  Amount reserved;

  [[nodiscard]] bool exhausted() const;  // everything is spent
};

// The first that is exhausted; null for none.
[[nodiscard]] const BudgetState* exhausted(const std::vector<BudgetState>& budgets);
// What another allowance may be: no more than any budget has left, the run's fair part of that, but what it
// needs at once if that is there. Unbounded where no budget counts.
[[nodiscard]] Amount next_allowance(const std::vector<BudgetState>& budgets, const Amount& at_a_time,
                                    const Amount& needed);

// A part of a run's allowance.
struct Lot {
  std::string day;  // in which it was reserved
  Amount granted;
  Amount spent;
};
struct LotChange {
  std::size_t lot = 0;
  Amount spent;       // more, or less when a correction gives back
  Amount unreserved;  // what is not reserved any more (less: again)
};
// Spends from the oldest lot first; what is beyond all of them counts as spent in the last one's day without
// ever having been reserved. A negative amount gives back, newest first. Changes `lots`.
[[nodiscard]] std::vector<LotChange> spend(std::vector<Lot>& lots, const Amount& amount);
// What is still reserved.
[[nodiscard]] Amount unspent(const Lot& lot);

}  // namespace agentrouter::policy
