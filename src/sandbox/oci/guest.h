#pragma once
// The driver `oci`: crun makes the namespaces from a generated config.json and starts our init in them as a guest,
// which builds the root from the image and then serves the keeper as it does everywhere.
//
// crun runs as PID 1 of a pid namespace of its own, in a mount namespace where bundle and state lie in a tmpfs: the end
// of crun is the end of everything inside, the end of init is the end of crun, and neither leaves a file or a mount.
// crun is told nothing about cgroups (it refuses hybrid hierarchies): ours hold it and all that it starts.

#include <string>

#include "sandbox/start.h"

namespace agentrouter::sandbox {

// Fixed, because root executes it for a server that is not root.
inline constexpr const char* container_runtime = "/usr/bin/crun";

// As start_init, for a launch with an image. RunningInit::process is crun.
// Errors: "cannot <stage>: <cause>"; unsupported, reason runtime_missing (there is no crun).
[[nodiscard]] base::Result<RunningInit> start_guest(const CheckedLaunch& launch, int attempt_dir,
                                                    const CgroupSet* cgroups, LimitsMode mode);


}  // namespace agentrouter::sandbox
