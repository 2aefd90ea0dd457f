#pragma once
// What of the configuration is about several servers of one store: labels of this worker ([worker]), leases
// ([cluster]) and figures ([metrics]).

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "base/error.h"

namespace agentrouter::apps {

struct ClusterConfig {
  std::map<std::string, std::string> labels;  // that the operator gives this worker
  // Of an attempt; a server that has not beaten for two thirds of it is gone.
  std::chrono::milliseconds lease = std::chrono::seconds{30};
  std::string metrics_host;  // empty: no figures are served
  std::uint16_t metrics_port = 0;
};

[[nodiscard]] bool is_cluster_setting(const std::string& key);

// Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<void> set_cluster_value(ClusterConfig& config, const std::string& key,
                                                   const std::string& text);

[[nodiscard]] std::string print_cluster(const ClusterConfig& config);

}  // namespace agentrouter::apps
