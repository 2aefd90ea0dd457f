#pragma once
// The system calls that nothing in a sandbox may make, as a compiled filter. A list of refusals, because the
// programs inside are anybody's compilers and interpreters; namespaces and the missing capabilities are the
// boundary, the filter takes away kernel surface that they do not cover.

#include <linux/filter.h>

#include <vector>

#include "base/error.h"

namespace agentrouter::sandbox {

// Made once per process, then the same. Errors: unsupported (no seccomp in this build or for this machine).
[[nodiscard]] base::Result<std::vector<sock_filter>> seccomp_filter();

}  // namespace agentrouter::sandbox
