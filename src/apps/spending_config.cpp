#include "apps/spending_config.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "apps/config_number.h"

namespace agentrouter::apps {

namespace {

using base::Result;
using policy::BudgetRules;
using policy::RunLimits;

constexpr std::int64_t most_tokens = 1'000'000'000'000;
constexpr std::string_view price_prefix = "prices.";

struct LimitKey {
  std::string_view key;
  std::string_view field;  // of policy::limit_fields()
};
constexpr std::array<LimitKey, 10> limit_keys{{{"max_wall_seconds", "maxWallSeconds"},
                                              {"max_tokens", "maxTokens"},
                                              {"max_cost_usd", "maxCostUsd"},
                                              {"max_actions", "maxActions"},
                                              {"max_output_bytes", "maxOutputBytes"},
                                              {"max_network_bytes", "maxNetworkBytes"},
                                              {"max_memory_bytes", "maxMemoryBytes"},
                                              {"max_disk_bytes", "maxDiskBytes"},
                                              {"max_cpu_percent", "maxCpuPercent"},
                                              {"max_pids", "maxPids"}}};

struct BudgetKey {
  std::string_view key;
  policy::BudgetLimit BudgetRules::*budget;
  bool in_money;
};
constexpr std::array<BudgetKey, 8> budget_keys{
    {{"budgets.workspace.day_tokens", &BudgetRules::workspace_day, false},
     {"budgets.workspace.day_usd", &BudgetRules::workspace_day, true},
     {"budgets.workspace.month_tokens", &BudgetRules::workspace_month, false},
     {"budgets.workspace.month_usd", &BudgetRules::workspace_month, true},
     {"budgets.key.day_tokens", &BudgetRules::key_day, false},
     {"budgets.key.day_usd", &BudgetRules::key_day, true},
     {"budgets.key.month_tokens", &BudgetRules::key_month, false},
     {"budgets.key.month_usd", &BudgetRules::key_month, true}}};

struct PriceKey {
  std::string_view key;
  policy::PicoUsd policy::Price::*member;
};
constexpr std::array<PriceKey, 4> price_keys{{{"input", &policy::Price::input},
                                              {"cached_input", &policy::Price::cached_input},
                                              {"cache_write", &policy::Price::cache_write},
                                              {"output", &policy::Price::output}}};

tl::unexpected<base::Error> refuse(const std::string& key, const std::string& text,
                                   const std::string& wanted) {
  return base::fail(base::Code::invalid, key + " is \"" + text + "\": want " + wanted, "usage");
}

Result<std::int64_t> dollars(const std::string& key, const std::string& text, std::int64_t parts) {
  const auto value = policy::parse_parts(text, parts);
  if (value && *value > 0) return *value;
  return refuse(key, text,
                "US dollars above 0, with at most " +
                    std::string(parts == policy::nano_per_usd ? "nine" : "six") + " places");
}

Result<void> set_limit(RunLimits& limits, const std::string& key, const std::string& name,
                       const std::string& text) {
  const auto known = std::ranges::find(limit_keys, name, &LimitKey::key);
  if (known == limit_keys.end())
    return base::fail(base::Code::invalid, "unknown key \"" + key + "\"", "usage");
  const auto& fields = policy::limit_fields();
  const auto field = std::ranges::find(fields, known->field, &policy::LimitField::name);
  if (field->member == &RunLimits::cost) {
    AGENTROUTER_TRY(limits.cost, dollars(key, text, policy::nano_per_usd));
    return {};
  }
  AGENTROUTER_TRY(limits.*field->member, whole_number(key, text, field->least, field->most));
  return {};
}

Result<void> set_price(SpendingConfig& config, const std::string& key, const std::string& text) {
  const auto dot = key.rfind('.');
  const auto name = key.substr(price_prefix.size(), dot - price_prefix.size());
  const auto part = key.substr(dot + 1);
  if (dot < price_prefix.size() || name.empty())
    return base::fail(base::Code::invalid, "unknown key \"" + key + "\": want [prices.\"MODEL\"]", "usage");
  const auto& all = config.rules.prices.all();
  const auto found = all.find(name);
  auto price = found == all.end() ? policy::Price{} : found->second;
  const auto known = std::ranges::find(price_keys, part, &PriceKey::key);
  if (part == "max_output_tokens") {
    AGENTROUTER_TRY(price.max_output_tokens, whole_number(key, text, 1, 100'000'000));
  } else if (known != price_keys.end()) {
    const auto value = policy::parse_parts(text, policy::pico_per_usd_million);
    if (!value) return refuse(key, text, "US dollars for a million tokens, with at most six places");
    price.*known->member = *value;
  } else {
    return base::fail(base::Code::invalid, "unknown key \"" + key + "\"", "usage");
  }
  config.given[name].insert(part);
  config.rules.prices.put(name, price);
  return {};
}

Result<void> set_budget(BudgetRules& budgets, const std::string& key, const std::string& text) {
  const auto known = std::ranges::find(budget_keys, key, &BudgetKey::key);
  if (known != budget_keys.end()) {
    auto& limit = budgets.*known->budget;
    if (known->in_money) {
      AGENTROUTER_TRY(limit.cost, dollars(key, text, policy::nano_per_usd));
    } else {
      AGENTROUTER_TRY(limit.tokens, whole_number(key, text, 1, most_tokens));
    }
  } else if (key == "budgets.allowance_tokens") {
    AGENTROUTER_TRY(budgets.allowance.tokens, whole_number(key, text, 1, most_tokens));
  } else if (key == "budgets.allowance_usd") {
    AGENTROUTER_TRY(budgets.allowance.cost, dollars(key, text, policy::nano_per_usd));
  } else {
    return base::fail(base::Code::invalid, "unknown key \"" + key + "\"", "usage");
  }
  return {};
}

}  // namespace

bool is_spending_setting(const std::string& key) {
  return key.starts_with("limits.") || key.starts_with(price_prefix) || key.starts_with("budgets.");
}

Result<void> set_spending_value(SpendingConfig& config, const std::string& key, const std::string& text) {
  constexpr std::string_view defaults = "limits.default.";
  constexpr std::string_view most = "limits.";
  if (key.starts_with(defaults))
    return set_limit(config.rules.limits.defaults, key, key.substr(defaults.size()), text);
  if (key.starts_with(most)) return set_limit(config.rules.limits.most, key, key.substr(most.size()), text);
  if (key.starts_with(price_prefix)) return set_price(config, key, text);
  return set_budget(config.rules.budgets, key, text);
}

Result<void> settle_spending(SpendingConfig& config, const std::string& codex_model,
                             const std::string& claude_model) {
  for (const auto& [name, keys] : config.given) {
    for (const auto* needed : {"input", "output", "max_output_tokens"}) {
      if (!keys.contains(needed))
        return base::fail(base::Code::invalid, "[prices.\"" + name + "\"] has no " + needed, "usage");
    }
    auto price = config.rules.prices.all().at(name);
    if (!keys.contains("cached_input")) price.cached_input = price.input;
    if (!keys.contains("cache_write")) price.cache_write = price.input + (price.input + 3) / 4;
    config.rules.prices.put(name, price);
  }
  for (const auto& field : policy::limit_fields()) {
    const auto& most = config.rules.limits.most.*field.member;
    const auto& usual = config.rules.limits.defaults.*field.member;
    if (most && usual && *usual > *most) {
      const auto key = std::ranges::find(limit_keys, field.name, &LimitKey::field)->key;
      return base::fail(base::Code::invalid,
                        "limits.default." + std::string(key) + " is more than limits." + std::string(key),
                        "usage");
    }
  }
  config.rules.codex_model = codex_model;
  config.rules.claude_model = claude_model;
  return {};
}

namespace {

std::string per_million(policy::PicoUsd price) {
  return policy::usd_text(price * (policy::nano_per_usd / policy::pico_per_usd_million));
}

void print_limits(std::ostringstream& out, const RunLimits& limits) {
  for (const auto& [key, name] : limit_keys) {
    const auto& fields = policy::limit_fields();
    const auto field = std::ranges::find(fields, name, &policy::LimitField::name);
    const auto& value = limits.*field->member;
    if (!value) continue;
    out << key << " = "
        << (field->member == &RunLimits::cost ? "\"" + policy::usd_text(*value) + "\""
                                              : std::to_string(*value))
        << "\n";
  }
}

}  // namespace

std::string print_spending(const SpendingConfig& config) {
  std::ostringstream out;
  const auto& rules = config.rules;
  if (!rules.limits.most.empty()) out << "\n[limits]\n";
  print_limits(out, rules.limits.most);
  if (!rules.limits.defaults.empty()) out << "\n[limits.default]\n";
  print_limits(out, rules.limits.defaults);
  for (const auto& [name, price] : rules.prices.all()) {
    out << "\n[prices.\"" << name << "\"]\n";
    for (const auto& [key, member] : price_keys)
      out << key << " = \"" << per_million(price.*member) << "\"\n";
    out << "max_output_tokens = " << price.max_output_tokens << "\n";
  }
  if (!rules.budgets.any()) return out.str();
  out << "\n[budgets]\nallowance_tokens = " << rules.budgets.allowance.tokens << "\nallowance_usd = \""
      << policy::usd_text(rules.budgets.allowance.cost) << "\"\n";
  for (const auto& [key, budget, in_money] : budget_keys) {
    const auto& limit = rules.budgets.*budget;
    const auto name = key.substr(std::string_view("budgets.").size());
    if (in_money && limit.cost) out << name << " = \"" << policy::usd_text(*limit.cost) << "\"\n";
    if (!in_money && limit.tokens) out << name << " = " << *limit.tokens << "\n";
  }
  return out.str();
}

}  // namespace agentrouter::apps
