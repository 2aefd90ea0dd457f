#pragma once
// What a turn cost, out of its `result` line.

#include <optional>

#include "agents/session.h"

namespace agentrouter::agents::claude {

// Of this turn with its subagents: the sum over all models. Claude Code's other totals go on over the whole
// session, also across resumption. Nothing when the line has no counts.
[[nodiscard]] std::optional<TokenUsage> usage_of(const json::object& result);
// In US dollars by the CLI's list of prices. Nothing when the line does not say it.
[[nodiscard]] std::optional<double> cost_of(const json::object& result);

}  // namespace agentrouter::agents::claude
