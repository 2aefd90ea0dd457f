#pragma once
// What of a request to a model provider two runs of the same agent on the same task have in common: without
// what is another one each time (ids, times, how long something took), with sorted keys. Pure.

#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::egress {

// A body that is no JSON object is a string. Left out are what only names the caller, its session or its
// installation (metadata, client_metadata, prompt_cache_key, safety_identifier, user, store, service_tier);
// texts as canonical_text() says.
[[nodiscard]] json::value canonical_body(std::string_view body);

// With <id> in place of UUIDs and long hex words, <time> of dates and times of day, <n> of measured seconds, and
// <version> of the agent's own version.
[[nodiscard]] std::string canonical_text(std::string_view text);

// One key or item per line, keys sorted, texts of several lines broken where they break: for a diff.
[[nodiscard]] std::string readable(const json::value& value);

}  // namespace agentrouter::egress
