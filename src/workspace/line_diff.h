#pragma once
// Which lines of two texts differ: Myers' shortest edit script in linear space, with a budget. When the
// budget is used up the rest of a range counts as replaced: the answer is then longer, never wrong.

#include <cstdint>
#include <string_view>
#include <vector>

namespace agentrouter::workspace {

// Each with its line end; only the last may have none.
[[nodiscard]] std::vector<std::string_view> split_lines(std::string_view text);

// Lines [a_begin, a_end) became [b_begin, b_end). One of both may be empty.
struct Edit {
  std::uint32_t a_begin = 0;
  std::uint32_t a_end = 0;
  std::uint32_t b_begin = 0;
  std::uint32_t b_end = 0;
};

struct DiffBudget {
  std::uint64_t steps = 40'000'000;
  std::uint32_t max_cost = 512;         // edits that one search looks ahead for
  std::uint32_t max_lines = 1'000'000;  // on one side, common beginning and end apart
};

// In order, neither touching nor overlapping.
[[nodiscard]] std::vector<Edit> diff_lines(const std::vector<std::string_view>& a,
                                           const std::vector<std::string_view>& b, DiffBudget budget = {});

}  // namespace agentrouter::workspace
