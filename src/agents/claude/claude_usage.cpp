#include "agents/claude/claude_usage.h"

#include <algorithm>

namespace agentrouter::agents::claude {

namespace {

constexpr auto since_last = "model_usage_since_last_result";
constexpr std::size_t max_models = 64;

// Bounded so that the sum over all models cannot overflow.
std::int64_t count_of(const json::object& counts, std::string_view key) {
  return std::clamp<std::int64_t>(base::get_int(counts, key).value_or(0), 0, std::int64_t{1} << 53);
}

std::optional<double> number_of(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (!value || !value->is_number()) return std::nullopt;
  return std::max(0.0, value->to_number<double>());
}

}  // namespace

std::optional<TokenUsage> usage_of(const json::object& result) {
  const auto* models = base::get_object(result, since_last);
  if (!models || models->size() > max_models) return std::nullopt;
  TokenUsage sum;
  for (const auto& model : *models) {
    const auto* counts = model.value().if_object();
    if (!counts) continue;
    const auto cached = count_of(*counts, "cacheReadInputTokens");
    sum.input_tokens +=
        count_of(*counts, "inputTokens") + count_of(*counts, "cacheCreationInputTokens") + cached;
    sum.cached_input_tokens += cached;
    sum.output_tokens += count_of(*counts, "outputTokens");
    sum.reasoning_output_tokens += count_of(*counts, "thinkingTokens");
  }
  return sum;
}

std::optional<double> cost_of(const json::object& result) {
  const auto* models = base::get_object(result, since_last);
  if (!models) return std::nullopt;
  std::optional<double> sum;
  for (const auto& model : *models) {
    const auto* counts = model.value().if_object();
    const auto cost = counts ? number_of(*counts, "costUSD") : std::nullopt;
    if (cost) sum = sum.value_or(0) + *cost;
  }
  return sum;
}

}  // namespace agentrouter::agents::claude
