#include "keeper/spending_plan.h"

namespace agentrouter::keeper {

json::object amount_json(const policy::Amount& amount) {
  return {{"tokens", amount.tokens}, {"nanoUsd", amount.cost}};
}

std::optional<policy::Amount> amount_of(const json::object* object) {
  if (object == nullptr) return std::nullopt;
  const auto tokens = base::get_int(*object, "tokens");
  const auto cost = base::get_int(*object, "nanoUsd");
  if (!tokens || !cost) return std::nullopt;
  return policy::Amount{*tokens, *cost};
}

json::object SpendingPlan::to_json() const {
  json::object object{{"limits", limits.to_json()}, {"prices", prices.to_json()}};
  if (allowance) object["allowance"] = amount_json(*allowance);
  return object;
}

base::Result<SpendingPlan> SpendingPlan::from_json(const json::object& object) {
  SpendingPlan plan;
  if (const auto* limits = base::get_object(object, "limits"))
    plan.limits = policy::RunLimits::from_json(*limits);
  if (const auto* prices = base::get_object(object, "prices")) {
    AGENTROUTER_TRY(plan.prices, policy::PriceTable::from_json(*prices));
  }
  plan.allowance = amount_of(base::get_object(object, "allowance"));
  return plan;
}

}  // namespace agentrouter::keeper
