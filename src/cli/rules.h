#pragma once
// Decisions about the rest of a run, by rule: what the command and the prompt share.

#include <agentrouter/client.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace agentrouter::cli {

// The rule of "command=npm test", "path=src/**", "max_lines=20", "tag.team=infra"...; a key that is repeated is
// a list. Throws UsageError.
[[nodiscard]] Json rule_of(const std::vector<std::string>& conditions);

struct RestDecision {
  bool approves = false;
  Json rule;
  std::string reason = {};
};
// The server's reply: the rule, and how many waiting questions it has `decided`. Throws Error, UsageError.
[[nodiscard]] Json give_rule(Context& context, const std::string& run, const RestDecision& decision);

// A rule that matches this action and what begins like it: a command of plain words, or a tool of an MCP
// server. None for anything else.
[[nodiscard]] std::optional<Json> rule_like(const Json& action);

}  // namespace agentrouter::cli
