#pragma once
// The words of a text, as the full text of the SQLite backend has them: by its own tokenizer (unicode61
// without diacritics), so both find the same.

#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::store::postgres {

// Sorted, each once. One that is longer than an index takes stands there as its hash. Any thread.
[[nodiscard]] std::vector<std::string> words_of(std::string_view text);

// What is asked for: at most 64 words, the longest of them, which few runs have, first.
[[nodiscard]] std::vector<std::string> words_to_find(std::string_view text);

// The text of an agent.response payload; empty when there is none.
[[nodiscard]] std::string answer_text(std::string_view payload);

}  // namespace agentrouter::store::postgres
