#pragma once
// What a subcommand of this room allows itself, since it reads what an agent has made: address space, open
// files, CPU time, and a wall time in which a read that hangs ends it.

#include <chrono>

namespace agentrouter::workspace {

// `wall_time` is the work's own deadline; the process ends 30 s after it.
void limit_self(std::chrono::milliseconds wall_time);

}  // namespace agentrouter::workspace
