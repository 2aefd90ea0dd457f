#pragma once
// A run that goes on from another one: what it inherits is decided in one place, for the next turn of a
// conversation and for the first turn of a fork.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

// A queued run with an id of its own that says `message` with the runtime, workspace, priority, tags,
// approval mode and approval timeout of `before`, no metadata, and {task, runtime} as its input. Which
// conversation it belongs to, and where, is the caller's to say.
[[nodiscard]] model::Run heir_of(const model::Run& before, const std::string& message, Context context);

}  // namespace agentrouter::runs
