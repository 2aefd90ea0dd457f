#include "agents/codex/codex_usage.h"

#include <algorithm>

namespace agentrouter::agents::codex {

namespace {

TokenUsage counts_of(const json::object& usage, std::string_view part) {
  TokenUsage counts;
  const auto* numbers = base::get_object(usage, part);
  if (!numbers) return counts;
  const auto number = [&](const char* key) {
    // Bounded so that no sum or difference of two can overflow.
    return std::clamp<std::int64_t>(base::get_int(*numbers, key).value_or(0), 0, std::int64_t{1} << 53);
  };
  counts.input_tokens = number("inputTokens");
  counts.cached_input_tokens = number("cachedInputTokens");
  counts.output_tokens = number("outputTokens");
  counts.reasoning_output_tokens = number("reasoningOutputTokens");
  return counts;
}

TokenUsage less(const TokenUsage& a, const TokenUsage& b) {
  const auto minus = [](std::int64_t x, std::int64_t y) { return std::max<std::int64_t>(x - y, 0); };
  return {minus(a.input_tokens, b.input_tokens), minus(a.cached_input_tokens, b.cached_input_tokens),
          minus(a.output_tokens, b.output_tokens),
          minus(a.reasoning_output_tokens, b.reasoning_output_tokens)};
}

}  // namespace

void UsageMeter::update(const json::object& usage, Turn turn) {
  const auto total = counts_of(usage, "total");
  if (turn == Turn::earlier) {
    base_ = total;
    return;
  }
  if (!base_) base_ = less(total, counts_of(usage, "last"));
  total_ = total;
}

std::optional<TokenUsage> UsageMeter::of_turn() const {
  if (!total_ || !base_) return std::nullopt;
  return less(*total_, *base_);
}

}  // namespace agentrouter::agents::codex
