#pragma once
// The settings of what runs may use and what models cost: [limits], [limits.default], [prices."MODEL"] and
// [budgets].

#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "runs/budgets.h"

namespace agentrouter::apps {

struct SpendingConfig {
  runs::SpendingRules rules;
  std::map<std::string, std::set<std::string>> given;  // keys of each price
};

// "limits.max_tokens" and the like.
[[nodiscard]] bool is_spending_setting(const std::string& key);

// `key` is that of the file, with the model's name in it as it is. Errors: invalid, naming the key and what
// is wanted.
[[nodiscard]] base::Result<void> set_spending_value(SpendingConfig& config, const std::string& key,
                                                    const std::string& text);

// All settings have been read: what prices leave out is filled in. Errors: invalid.
[[nodiscard]] base::Result<void> settle_spending(SpendingConfig& config, const std::string& codex_model,
                                                 const std::string& claude_model);

// As TOML.
[[nodiscard]] std::string print_spending(const SpendingConfig& config);

}  // namespace agentrouter::apps
