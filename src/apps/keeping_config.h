#pragma once
// What of the configuration says how much is taken on ([admission]) and how long it is kept ([retention]).

#include <cstdint>
#include <optional>
#include <string>

#include "api/overload.h"
#include "runs/delete.h"
#include "runs/queue.h"

namespace agentrouter::apps {

struct KeepingConfig {
  runs::QueueRules queue;
  std::optional<int> max_waiting_runs;  // none: as many as `concurrency`
  std::size_t max_waiting_calls = api::OverloadRules{}.max_waiting_calls;
  std::optional<std::uint64_t> max_memory_bytes;  // none: half of the machine's; 0: no bound
  runs::RetentionRules retention;
  std::int64_t max_active_runs_of_workspace = 0;  // by all workers together; 0: any number
  std::chrono::minutes unplaceable{0};            // for a worker that can carry a run out; 0: for ever
};

[[nodiscard]] bool is_keeping_setting(const std::string& key);

// Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<void> set_keeping_value(KeepingConfig& config, const std::string& key,
                                                   const std::string& text);

[[nodiscard]] std::string print_keeping(const KeepingConfig& config);

// For api::OverloadRules: what this process has in memory, and the bound of it.
[[nodiscard]] std::uint64_t resident_bytes();
[[nodiscard]] api::OverloadRules overload_rules(const KeepingConfig& config);

}  // namespace agentrouter::apps
