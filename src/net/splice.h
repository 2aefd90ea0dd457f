#pragma once
// Bytes carried between two connections, both ways, without looking at them.

#include <chrono>
#include <cstdint>
#include <functional>

#include "base/asio.h"
#include "net/stream.h"

namespace agentrouter::net {

enum class SpliceEnd {
  done,       // both have said their end
  near_left,  // broke off, or took nothing any more
  far_left,
  idle,     // nothing in either direction for too long
  stopped,  // `counts` said so
};

struct SpliceOptions {
  std::chrono::milliseconds idle_timeout{600'000};
  // Told of each piece before it is passed on; false ends it all without that piece.
  std::function<bool(std::uint64_t from_near, std::uint64_t from_far)> counts = {};
};

// Resumes when both directions are over; an end in one direction is passed on and the other goes on. Keeps at
// most 16 KiB for each direction: who does not read is not read for. Closes both. When it is cancelled it
// throws operation_aborted. `near` and `far` outlive it.
[[nodiscard]] Task<SpliceEnd> splice(Stream& near, Stream& far, SpliceOptions options);

}  // namespace agentrouter::net
