#pragma once
// The stdout log's view of one protocol line: no deltas, no raw thinking, nothing encrypted or signed.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::agents::claude {

// Nothing for lines that are left out (deltas, counts of thinking). `line` is returned as it is when it holds
// nothing to remove; otherwise `message`, the same line parsed, is written anew without it.
[[nodiscard]] std::optional<std::string> log_line(std::string_view line, const json::object& message);

}  // namespace agentrouter::agents::claude
