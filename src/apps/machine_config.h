#pragma once
// The settings of what sandboxes may use: [sandbox.limits], of each, and [machine], of all together.

#include <chrono>
#include <string>

#include "base/error.h"
#include "policy/run_limits.h"
#include "sandbox/plan.h"

namespace agentrouter::apps {

struct MachineConfig {
  sandbox::Limits limits = {.disk_reserve_bytes = 1ull << 30,
                            .disk_reserve_inode_percent = 1,
                            .memory_reserve_bytes = 512ull << 20};
  sandbox::MachineLimits machine;
  std::chrono::seconds wall_time{3600};
  std::uint64_t output_bytes = 256ull << 20;
  std::uint64_t output_bytes_per_second = 64ull << 20;
  std::uint64_t warm_sandboxes = 0;
};

// "sandbox.limits.memory_bytes", "machine.pids" and the like.
[[nodiscard]] bool is_machine_setting(const std::string& key);

// Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<void> set_machine_value(MachineConfig& config, const std::string& key,
                                                   const std::string& text);

// What requests may ask for: where [limits] does not say it, as much as each sandbox has.
[[nodiscard]] policy::LimitRules within(policy::LimitRules rules, const MachineConfig& config);

// As TOML.
[[nodiscard]] std::string print_machine(const MachineConfig& config);

}  // namespace agentrouter::apps
