#include "workspace/line_diff.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace agentrouter::workspace {
namespace {

using Lines = std::vector<std::string_view>;

// What the edits make of `a`; must be `b`. Also checks their order.
std::string apply(const Lines& a, const Lines& b, const std::vector<Edit>& edits) {
  std::string out;
  std::uint32_t at = 0, to = 0;
  for (const auto& edit : edits) {
    EXPECT_TRUE(edit.a_begin != edit.a_end || edit.b_begin != edit.b_end);
    EXPECT_EQ(edit.a_begin - at, edit.b_begin - to);
    for (; at < edit.a_begin; ++at) out += a[at];
    for (auto i = edit.b_begin; i < edit.b_end; ++i) out += b[i];
    at = edit.a_end;
    to = edit.b_end;
  }
  for (; at < a.size(); ++at) out += a[at];
  return out;
}

std::size_t cost(const std::vector<Edit>& edits) {
  std::size_t sum = 0;
  for (const auto& edit : edits) sum += edit.a_end - edit.a_begin + edit.b_end - edit.b_begin;
  return sum;
}

// By dynamic programming, for small texts.
std::size_t least_cost(const Lines& a, const Lines& b) {
  std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        table[i][j] = i + j;
      } else {
        table[i][j] =
            a[i - 1] == b[j - 1] ? table[i - 1][j - 1] : 1 + std::min(table[i - 1][j], table[i][j - 1]);
      }
    }
  }
  return table[a.size()][b.size()];
}

std::string random_text(std::mt19937& random, std::size_t lines, std::size_t letters) {
  std::string text;
  for (std::size_t i = 0; i < lines; ++i)
    text += std::string(1, static_cast<char>('a' + random() % letters)) + "\n";
  return text;
}

TEST(LineDiff, LinesKeepTheirEnds) {
  EXPECT_EQ((Lines{"a\n", "\n", "b"}), split_lines("a\n\nb"));
  EXPECT_EQ((Lines{}), split_lines(""));
}

TEST(LineDiff, EqualTextsHaveNoEdit) {
  const auto lines = split_lines("a\nb\n");
  EXPECT_TRUE(diff_lines(lines, lines).empty());
  EXPECT_TRUE(diff_lines({}, {}).empty());
}

TEST(LineDiff, RandomTextsTakeTheShortestScript) {
  std::mt19937 random(7);
  for (int round = 0; round < 1500; ++round) {
    const auto a = random_text(random, random() % 24, 1 + random() % 5);
    const auto b = random_text(random, random() % 24, 1 + random() % 5);
    const auto before = split_lines(a), after = split_lines(b);
    const auto edits = diff_lines(before, after);
    ASSERT_EQ(b, apply(before, after, edits));
    ASSERT_EQ(least_cost(before, after), cost(edits)) << a << "--\n" << b;
  }
}

TEST(LineDiff, SmallCostLimitStaysCorrect) {
  std::mt19937 random(8);
  for (int round = 0; round < 300; ++round) {
    const auto a = random_text(random, random() % 200, 4), b = random_text(random, random() % 200, 4);
    const auto before = split_lines(a), after = split_lines(b);
    ASSERT_EQ(b, apply(before, after, diff_lines(before, after, {.steps = 1u << 20, .max_cost = 3})));
    ASSERT_EQ(b, apply(before, after, diff_lines(before, after, {.steps = 50, .max_cost = 8})));
    ASSERT_EQ(b, apply(before, after, diff_lines(before, after, {.max_lines = 10})));
  }
}

TEST(LineDiff, ShuffledGiantEndsWithinItsBudget) {
  std::mt19937 random(9);
  const auto a = random_text(random, 200'000, 20), b = random_text(random, 200'000, 20);
  const auto before = split_lines(a), after = split_lines(b);
  EXPECT_EQ(b, apply(before, after, diff_lines(before, after, {.steps = 2'000'000})));
}

}  // namespace
}  // namespace agentrouter::workspace
