#include "store/text_forms.h"

#include <algorithm>

#include "base/json.h"

namespace agentrouter::store {

std::string names_text(const std::vector<std::string>& names) {
  return base::to_text(json::value(json::array(names.begin(), names.end())));
}

std::vector<std::string> parse_names(const std::string& text) {
  std::vector<std::string> names;
  const auto value = base::value_or_throw(base::parse_json(text));
  for (const auto& item : value.is_array() ? value.get_array() : json::array{}) {
    if (item.is_string()) names.emplace_back(item.get_string());
  }
  return names;
}

std::string words_text(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

std::vector<std::string> parse_words(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

DeliveryState parse_delivery_state(const std::string& text) {
  if (text == "pending") return DeliveryState::pending;
  return text == "delivered" ? DeliveryState::delivered : DeliveryState::failed;
}

}  // namespace agentrouter::store
