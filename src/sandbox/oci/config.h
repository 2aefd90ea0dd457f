#pragma once
// config.json of a guest, as the OCI runtime specification 1.0 defines it.

#include <optional>
#include <string>
#include <vector>

#include "sandbox/launch.h"

namespace agentrouter::sandbox {

struct ContainerShape {
  std::optional<UidRange> range;      // none: a plain user's single id, the agent's own inside
  std::vector<std::string> sources;   // paths of the host, shown at source_place(0)...; the first may be written
};

// Where a guest finds its sources while it builds the root.
[[nodiscard]] std::string source_place(std::size_t index);

// Namespaces, ids, what init needs of capabilities, and nothing of the host but `sources`. No seccomp, no limits, no
// masked paths: init sets them itself, as without a runtime.
[[nodiscard]] std::string container_config(const ContainerShape& shape);

}  // namespace agentrouter::sandbox
