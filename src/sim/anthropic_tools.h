#pragma once
// Turns a step of a script into a call of a tool that this request offers: Claude Code's `Bash`, `Write`,
// `Edit`, `Read`, and `mcp__server__tool`.

#include <optional>
#include <string>

#include "sim/anthropic_request.h"

namespace agentrouter::sim {

struct ToolUse {
  enum class Part { script, preparing } part = Part::script;
  std::string name;
  json::object input;
};

// Nothing when none of the offered tools fits. `NamedTool` fits when its arguments are an object: it is sent
// as it is written.
[[nodiscard]] std::optional<ToolUse> choose_tool_use(const ToolCall& call, const MessagesRequest& request);

// The call that reads a file which the CLI wants read before it is written.
[[nodiscard]] ToolUse read_first(std::string_view path);

}  // namespace agentrouter::sim
