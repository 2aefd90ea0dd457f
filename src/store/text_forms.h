#pragma once
// How small lists and states stand in a column, the same in every backend.

#include <string>
#include <vector>

#include "store/outbox.h"

namespace agentrouter::store {

// A JSON array of strings. Throws Failure(corrupt or invalid) for text that is no JSON.
[[nodiscard]] std::string names_text(const std::vector<std::string>& names);
[[nodiscard]] std::vector<std::string> parse_names(const std::string& text);

// Words with a blank between them: neither a workspace nor a scope has one.
[[nodiscard]] std::string words_text(const std::vector<std::string>& words);
[[nodiscard]] std::vector<std::string> parse_words(const std::string& text);

// Anything else than "pending" and "delivered" has failed.
[[nodiscard]] DeliveryState parse_delivery_state(const std::string& text);

}  // namespace agentrouter::store
