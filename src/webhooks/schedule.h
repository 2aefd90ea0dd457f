#pragma once
// When a message that was not taken is sent again. Pure.

#include <chrono>
#include <optional>

#include "base/id.h"

namespace agentrouter::webhooks {

// After the first attempt 5 s, then 30 s, 2 min, 10 min, 30 min, 1 h, 3 h, 6 h, 12 h, 24 h, 24 h: twelve
// attempts in about three days.
inline constexpr int most_attempts = 12;
inline constexpr std::chrono::hours longest_retry_after{24};
// An endpoint that took nothing for so long is disabled.
inline constexpr std::chrono::hours failing_limit{72};

// The wait after this many attempts, up to a fifth longer by chance so that messages do not come all at once;
// never shorter than what the endpoint asked for, which counts up to a day. None: it is not sent again.
[[nodiscard]] std::optional<std::chrono::milliseconds> delay_after(
    int attempts, std::optional<std::chrono::milliseconds> asked, base::Entropy& entropy);

}  // namespace agentrouter::webhooks
