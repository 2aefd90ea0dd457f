#pragma once
// Codex's thread items in our words: which of them are tool calls, and how a call and its end are shown.

#include <optional>
#include <string>
#include <vector>

#include "agents/tool_call.h"
#include "base/json.h"

namespace agentrouter::agents::codex {

// Nothing for items that are no tool call: messages, reasoning, markers, types that we do not know. Paths
// under `cwd` become relative to it.
[[nodiscard]] std::optional<ToolCall> tool_call_of(const json::object& item, std::string_view cwd);

// The same for a question about a command: `params` has the item's fields.
[[nodiscard]] ToolCall shell_call(const json::object& params);

// {callId, status, exitCode?, durationMs?, output, changes?} of a completed tool item. Output is not cut yet.
[[nodiscard]] json::object completion_of(const json::object& item, std::string_view cwd);

enum class Diffs { with, without };
// [{path, kind, movePath?, diff?}] of a fileChange item.
[[nodiscard]] json::array changes_of(const json::object& item, std::string_view cwd, Diffs diffs);

// The text of a reasoning item's summary, never its raw content. Empty when there is none.
[[nodiscard]] std::string reasoning_summary(const json::object& item);

// "a.txt, b.txt and 3 more"
[[nodiscard]] std::string paths_title(const json::array& changes);

}  // namespace agentrouter::agents::codex
