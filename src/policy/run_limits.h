#pragma once
// The limits of one run: what its request asks for within what the server allows, and when to warn.

#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "policy/money.h"

namespace agentrouter::policy {

// One number for each limit; for cost nano-USD, else whole units. None: no such limit.
struct RunLimits {
  std::optional<std::int64_t> wall_seconds = {};
  std::optional<std::int64_t> tokens = {};
  std::optional<NanoUsd> cost = {};
  std::optional<std::int64_t> actions = {};
  std::optional<std::int64_t> output_bytes = {};
  std::optional<std::int64_t> network_bytes = {};
  // Of the sandbox; none: as much as each sandbox of the server has.
  std::optional<std::int64_t> memory_bytes = {};
  std::optional<std::int64_t> disk_bytes = {};
  std::optional<std::int64_t> cpu_percent = {};  // of one core
  std::optional<std::int64_t> pids = {};

  [[nodiscard]] bool empty() const;
  // Requests have to be understood before they leave.
  [[nodiscard]] bool spends() const { return tokens || cost; }
  // {maxWallSeconds, maxTokens, maxCostUsd, maxActions, maxOutputBytes, maxNetworkBytes, maxMemoryBytes,
  // maxDiskBytes, maxCpuPercent, maxPids}, what is there.
  [[nodiscard]] json::object to_json() const;
  // What does not fit is left out: for documents of our own.
  [[nodiscard]] static RunLimits from_json(const json::object& object);
  bool operator==(const RunLimits&) const = default;
};

struct LimitField {
  std::string_view name;  // "maxTokens"
  std::optional<std::int64_t> RunLimits::*member;
  std::int64_t least;
  std::int64_t most;
  bool of_sandbox = false;  // there without being asked for, so the server's most is not written into a run
};
// In the order of the wire. Cost is counted in nano-USD here, too.
[[nodiscard]] const std::vector<LimitField>& limit_fields();

// The server's: what a run gets that names nothing, and what it may name at most.
struct LimitRules {
  RunLimits defaults = {};
  RunLimits most = {};
};

// What a run has. `before`: of the turn that it goes on from, which can only be tightened.
//
// Errors: invalid with reason validation_error and an issue at limits.<name> (more than the server allows, or
// looser than before).
[[nodiscard]] base::Result<RunLimits> settle_limits(const RunLimits& asked, const LimitRules& rules,
                                                    const std::optional<RunLimits>& before = {});

inline constexpr int warning_marks[] = {50, 80, 95};
// The highest mark that `used` has reached and `warned` (the highest before, 0 for none) has not. 0: none.
[[nodiscard]] int next_warning(std::int64_t used, std::int64_t most, int warned);

}  // namespace agentrouter::policy
