#pragma once
// Paths of any bytes as text. A path that is UTF-8 stays as it is; of another one each byte that is no UTF-8,
// and each backslash, becomes \xNN, and `encoding: "escaped"` says so.

#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::workspace {

// Sets `key` to the path, and `encoding` when it had to be escaped.
void put_path(json::object& object, std::string_view key, std::string_view path);

[[nodiscard]] std::string escape_path(std::string_view path);
// A backslash that begins no \xNN stands for itself.
[[nodiscard]] std::string unescape_path(std::string_view text);

// Whether a walk that goes by names comes to `a` before `b`: "a", "a/b", "a.c".
[[nodiscard]] bool by_names(std::string_view a, std::string_view b);

}  // namespace agentrouter::workspace
