#include "base/pace.h"

#include <algorithm>

namespace agentrouter::base {

void Pace::moved(std::uint64_t bytes) {
  constexpr std::uint64_t most = 1u << 30;  // of one step: whole seconds of any rate, without an overflow
  constexpr std::uint64_t second = 1'000'000'000;
  const std::chrono::nanoseconds brought(std::min(bytes, most) * second / rule_.bytes_per_second);
  left_ = std::min<std::chrono::nanoseconds>(rule_.in_hand, left_ + brought);
}

}  // namespace agentrouter::base
