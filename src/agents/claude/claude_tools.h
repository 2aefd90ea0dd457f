#pragma once
// Claude Code's tools in our words: how a call and its end are shown.

#include <optional>
#include <string>

#include "agents/tool_call.h"

namespace agentrouter::agents::claude {

// `input` is never cut: it is all that the call would do. Paths under `cwd` become relative to it. The kind
// of a Write's change is "write" as long as nobody knows whether the file exists.
[[nodiscard]] ToolCall tool_call_of(std::string_view name, const std::string& id, const json::object& input,
                                    std::string_view cwd);

// How a call ended, out of the `user` message with its tool_result.
struct ToolEnd {
  bool failed = false;
  bool declined = false;  // the CLI says that it did not run
  std::string output;
  std::int64_t output_bytes = 0;  // of all of it, when the CLI shows only its begin
  std::optional<std::int64_t> exit_code;  // of a shell command
  json::array changes;                    // [{path, kind, diff}] of an edit that was made
};
// `block` is the tool_result, `message` the whole line.
[[nodiscard]] ToolEnd tool_end_of(const ToolCall& call, const json::object& block,
                                  const json::object& message);

}  // namespace agentrouter::agents::claude
