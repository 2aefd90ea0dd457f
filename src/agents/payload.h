#pragma once
// Keeps event payloads small: what an agent sends may be megabytes, an event shows the begin of it.

#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::agents {

// Cuts each top-level string of more than 8 KiB at a character and adds `<key>Truncated: true`.
void cap_fields(json::object& payload);

// `args` itself, or when its text is over 16 KiB {"preview": <begin of its text>, "truncated": true}.
[[nodiscard]] json::object bounded_args(json::object args);

// One line of at most 200 bytes for people: line ends become blanks, the cut is marked by "...".
[[nodiscard]] std::string one_line(std::string_view text);

}  // namespace agentrouter::agents
