#include "webhooks/schedule.h"

#include <algorithm>
#include <array>

namespace agentrouter::webhooks {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr std::array<std::chrono::seconds, most_attempts - 1> delays{5s, 30s, 2min, 10min, 30min, 1h,
                                                                     3h, 6h,  12h,  24h,   24h};

milliseconds by_chance(milliseconds most, base::Entropy& entropy) {
  std::array<std::uint8_t, 4> bytes{};
  entropy.fill(bytes);
  std::uint64_t value = 0;
  for (const auto byte : bytes) value = value << 8 | byte;
  return milliseconds(static_cast<std::int64_t>(value % static_cast<std::uint64_t>(most.count() + 1)));
}

}  // namespace

std::optional<milliseconds> delay_after(int attempts, std::optional<milliseconds> asked,
                                        base::Entropy& entropy) {
  if (attempts >= most_attempts) return std::nullopt;
  const milliseconds planned = delays.at(static_cast<std::size_t>(std::max(attempts, 1) - 1));
  const auto wanted = std::clamp<milliseconds>(asked.value_or(0ms), 0ms, longest_retry_after);
  const auto least = std::max(planned, wanted);
  return least + by_chance(least / 5, entropy);
}

}  // namespace agentrouter::webhooks
