#pragma once
// Time as an argument. Only `system_clock()` looks at the machine's; tests pass testing::ManualClock.

#include <chrono>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::base {

// Milliseconds since the Unix epoch, UTC: the resolution of every stored and published time.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Time now() const = 0;
};

// Lives for the whole process; safe from any thread.
[[nodiscard]] const Clock& system_clock();

// "2026-11-24T13:38:23.120Z", always with milliseconds and Z.
[[nodiscard]] std::string to_iso(Time time);
// Reads what to_iso writes. Errors: invalid.
[[nodiscard]] Result<Time> parse_iso(std::string_view text);

}  // namespace agentrouter::base
