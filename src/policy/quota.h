#pragma once
// How long a run waits when its provider's limit is reached, and when it no longer does.

#include <chrono>
#include <optional>
#include <string_view>

namespace agentrouter::policy {

struct QuotaRules {
  std::chrono::milliseconds first = std::chrono::seconds(30);    // when the provider names no time
  std::chrono::milliseconds longest = std::chrono::minutes(15);  // the first doubles up to this
  std::chrono::milliseconds most = std::chrono::hours(6);        // of all waits of a run together
};

struct QuotaWaits {
  int count = 0;
  std::chrono::milliseconds waited{0};
};

// Whether time heals it: provider_rate_limited, provider_quota_exhausted.
[[nodiscard]] bool is_quota(std::string_view cause);

// How long to wait now. `named` is the provider's own word; a provider that names the same moment again and
// again is asked ever less often (a second, doubled with each wait). Nothing when it would be more than
// `rules.most` in all.
[[nodiscard]] std::optional<std::chrono::milliseconds> next_wait(
    const QuotaRules& rules, const QuotaWaits& before, std::optional<std::chrono::milliseconds> named);

}  // namespace agentrouter::policy
