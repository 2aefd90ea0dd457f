#pragma once
// Turns a step of a script into a tool call that this request offers. Codex names its tools by model and
// settings, so nothing is assumed: `exec_command`, `shell_command` or code mode's `exec` for a command,
// `apply_patch` as a tool of its own or as a heredoc in a command for files.

#include <optional>
#include <string>

#include "sim/openai_request.h"

namespace agentrouter::sim {

struct ItemCall {
  OfferedTool::Kind kind = OfferedTool::Kind::function;
  std::string name;
  std::string name_space;
  std::string input;  // JSON arguments of a function, free text of a custom tool
};

// Nothing when none of the offered tools fits. `NamedTool` always fits: it is sent as it is written.
[[nodiscard]] std::optional<ItemCall> choose_tool(const ToolCall& call, const ResponsesRequest& request);

// The call that waits for a command which is still running.
[[nodiscard]] ItemCall poll_running(std::int64_t session);

// What the model says instead: names the step and the offered tools.
[[nodiscard]] std::string no_tool_message(const ToolCall& call, const ResponsesRequest& request);

// Quoted for a POSIX shell where that is needed.
[[nodiscard]] std::string shell_word(std::string_view text);

}  // namespace agentrouter::sim
