#pragma once
// Every code that an error reply can carry. docs/errors.md lists the same codes with what to do about each; a
// test compares the two.

#include <string_view>
#include <vector>

namespace agentrouter::api {

struct CodeFacts {
  std::string_view code;
  std::vector<int> statuses;  // that it comes with; the first unless something says otherwise
  std::string_view title;     // for people; the same for every occurrence
  int retry_after = 0;        // seconds after which the same request may succeed; 0: not by itself
};

[[nodiscard]] const std::vector<CodeFacts>& all_codes();

// Null for a word that is no code.
[[nodiscard]] const CodeFacts* find_code(std::string_view code);

}  // namespace agentrouter::api
