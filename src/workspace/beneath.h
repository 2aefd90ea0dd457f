#pragma once
// Opening below a folder and nowhere else, whatever stands there.

#include <string>

#include "base/fd.h"

namespace agentrouter::workspace {

enum class Mounts { refuse, cross };

// openat2(2): no link is followed, nothing above `folder` is reached, nothing blocks. None with errno.
[[nodiscard]] base::Fd open_beneath(int folder, const std::string& path, int flags, Mounts mounts);

}  // namespace agentrouter::workspace
