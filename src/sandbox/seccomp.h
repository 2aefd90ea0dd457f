#pragma once
// The system calls that programs in a sandbox may make, as compiled filters: a list of what is allowed, written in
// seccomp_groups.cpp with a reason for each group, and as a table in docs/seccomp.md. Anybody's compilers and
// interpreters run under it, so it is wide; it takes away what namespaces and missing capabilities do not cover.

#include <linux/filter.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace agentrouter::sandbox {

enum class Profile {
  agent,      // the agent, the restorer, and whatever they start; also init itself
  collector,  // on top of it, for our own program that reads what the agent has left
  sealed,     // on top of it, for everything else that init starts
};

// Made once per process, then the same. Calls of other architectures end the process; calls that are newer than the
// list are answered as if the kernel did not have them. Errors: unsupported (a name that nobody knows a number of).
[[nodiscard]] base::Result<std::vector<sock_filter>> seccomp_filter(Profile profile);

// The lists as Markdown.
[[nodiscard]] std::string seccomp_table();

}  // namespace agentrouter::sandbox
