#pragma once
// The stdout log's view of one protocol line: no deltas, no raw reasoning, nothing encrypted.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::agents::codex {

// Nothing for lines that are left out (deltas and raw provider items). `line` is returned as it is when it
// holds nothing to remove; otherwise `message`, the same line parsed, is written anew without it.
[[nodiscard]] std::optional<std::string> log_line(std::string_view line, const json::object& message);

}  // namespace agentrouter::agents::codex
