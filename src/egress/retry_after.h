#pragma once
// When a provider that refuses a request wants to be asked again. Pure.

#include <chrono>
#include <optional>

#include "base/clock.h"
#include "net/http.h"

namespace agentrouter::egress {

// The first of these that can be read: `retry-after-ms`, `retry-after` (seconds or a date), else the latest
// of the limits that are used up: `x-ratelimit-reset-*` ("6m0s") beside an `x-ratelimit-remaining-*` of 0,
// `anthropic-ratelimit-*-reset` (a date) beside its `-remaining` of 0, `anthropic-ratelimit-unified-reset`
// (seconds since 1970). Never negative; at most a year. Nothing when no field says it.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_after_of(const net::Headers& headers,
                                                                      base::Time now);

}  // namespace agentrouter::egress
