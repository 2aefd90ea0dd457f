#include "policy/document_values.h"

namespace agentrouter::policy {

using base::Result;
using std::string_view;

tl::unexpected<base::Error> refuse(const std::string& where, const std::string& what) {
  return base::fail(base::Code::invalid, where + ": " + what, "policy_invalid");
}

string_view key_of(const json::key_value_pair& member) {
  return {member.key().data(), member.key().size()};
}

Result<std::string> text_of(const json::value& value, const std::string& where, std::size_t most) {
  const auto* text = value.if_string();
  if (!text || text->empty() || text->size() > most)
    return refuse(where, "want a text of 1 to " + std::to_string(most) + " bytes");
  return std::string(*text);
}

Result<std::vector<std::string>> patterns_of(const json::value& value, const std::string& where) {
  std::vector<std::string> patterns;
  const json::array one{value};
  const auto* list = value.if_array();
  if (!list) list = &one;
  if (list->empty() || list->size() > max_patterns)
    return refuse(where, "want a text or a list of 1 to " + std::to_string(max_patterns) + " texts");
  for (const auto& item : *list) {
    AGENTROUTER_TRY(auto text, text_of(item, where, max_pattern_bytes));
    patterns.push_back(std::move(text));
  }
  return patterns;
}

Result<Decision> decision_of(const json::value& value, const std::string& where) {
  const auto* text = value.if_string();
  if (text && *text == "allow") return Decision::allowed;
  if (text && *text == "ask") return Decision::requires_approval;
  if (text && *text == "deny") return Decision::blocked;
  return refuse(where, "want \"allow\", \"ask\" or \"deny\"");
}

}  // namespace agentrouter::policy
