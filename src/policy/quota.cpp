#include "policy/quota.h"

#include <algorithm>

namespace agentrouter::policy {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds least = std::chrono::seconds(1);

milliseconds doubled(milliseconds time, int times, milliseconds longest) {
  for (; times > 0 && time < longest; --times) time *= 2;
  return std::min(time, longest);
}

}  // namespace

bool is_quota(std::string_view cause) {
  return cause == "provider_rate_limited" || cause == "provider_quota_exhausted";
}

std::optional<milliseconds> next_wait(const QuotaRules& rules, const QuotaWaits& before,
                                      std::optional<milliseconds> named) {
  const auto own = doubled(named ? std::min(least, rules.first) : rules.first, before.count, rules.longest);
  const auto wait = std::max(own, named.value_or(milliseconds(0)));
  if (wait > rules.most - before.waited) return std::nullopt;
  return wait;
}

}  // namespace agentrouter::policy
