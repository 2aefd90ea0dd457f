#pragma once
// The part of an attempt's plan that says what it may use: the run's limits, what models cost, and the
// allowance that it has of the budgets over runs.

#include "policy/ledger.h"
#include "policy/run_limits.h"

namespace agentrouter::keeper {

struct SpendingPlan {
  policy::RunLimits limits;
  policy::PriceTable prices;
  std::optional<policy::Amount>
      allowance;  // unbounded in what no budget counts; none: no budget counts at all

  [[nodiscard]] json::object to_json() const;
  // Errors: invalid.
  [[nodiscard]] static base::Result<SpendingPlan> from_json(const json::object& object);
};

// {"tokens":...,"nanoUsd":...}
[[nodiscard]] json::object amount_json(const policy::Amount& amount);
// Nothing when one of the two is missing.
[[nodiscard]] std::optional<policy::Amount> amount_of(const json::object* object);

}  // namespace agentrouter::keeper
