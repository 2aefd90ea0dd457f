#pragma once
// What a subcommand of this room allows itself, since it reads what an agent has made: address space, open
// files, CPU time, and a wall time in which a read that hangs ends it.

#include <chrono>

#include "base/error.h"

namespace agentrouter::workspace {

// `wall_time` is the work's own deadline; the process ends 30 s after it.
void limit_self(std::chrono::milliseconds wall_time,
                std::chrono::seconds cpu_time = std::chrono::seconds(120));

// For a subcommand that a server started, and whose work is of no use without it: it is killed when the
// server ends. `pipe`: one that the server reads, which tells of one that has ended already: then this does
// not return.
void end_with_parent(int pipe);

// For a subcommand that runs outside of every sandbox: no capabilities, no new privileges, not to be traced,
// and, where the kernel has Landlock, no file is reached but those below `folder`, for reading those below `readable` (a folder, or
// anything that is open already), and what is open already.
// Errors: denied (a capability cannot be given up).
[[nodiscard]] base::Result<void> give_up_rights(int folder, int readable = -1);

}  // namespace agentrouter::workspace
