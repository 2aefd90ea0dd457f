#pragma once
// The end of a run on a folder of this machine: its changes can be taken over into the folder.

#include "cli/commands.h"

namespace agentrouter::cli {

// What a person who worked on the folder `command.workspace` can do with the changes of an ended run: applies
// them when --apply says so, asks at a terminal, else says how. False when they were to be applied and did
// not fit. Throws Error.
[[nodiscard]] bool take_over(const RunSession& session, const Command& command, Context& context);

}  // namespace agentrouter::cli
