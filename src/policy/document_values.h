#pragma once
// Values of policy documents, with errors that say where, what and what is wanted. Used by the readers of rules.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "policy/policy.h"

namespace agentrouter::policy {

inline constexpr std::size_t max_patterns = 256;
inline constexpr std::size_t max_pattern_bytes = 512;
inline constexpr std::size_t max_text_bytes = 500;

// invalid (policy_invalid)
[[nodiscard]] tl::unexpected<base::Error> refuse(const std::string& where, const std::string& what);
[[nodiscard]] std::string_view key_of(const json::key_value_pair& member);

[[nodiscard]] base::Result<std::string> text_of(const json::value& value, const std::string& where,
                                                std::size_t most);
// One text is a list of one.
[[nodiscard]] base::Result<std::vector<std::string>> patterns_of(const json::value& value,
                                                                 const std::string& where);
// allow, ask or deny
[[nodiscard]] base::Result<Decision> decision_of(const json::value& value, const std::string& where);

// Joined by commas.
[[nodiscard]] std::string list_of(const auto& names) {
  std::string text;
  for (const auto& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

}  // namespace agentrouter::policy
