#pragma once
// What an agent asked, beside what the cassette has at that place, for a person to read.

#include <string>

#include "egress/cassette.h"

namespace agentrouter::keeper {

inline constexpr std::size_t replay_diff_bytes = 16u << 10;

// A unified diff of both requests in readable form, with three lines around each change, cut at `most` bytes and
// its lines at 400.
[[nodiscard]] std::string replay_diff(const egress::ReplayMismatch& mismatch, std::size_t most = replay_diff_bytes);

}  // namespace agentrouter::keeper
