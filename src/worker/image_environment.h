#pragma once
// What an agent's program finds in its environment when its root is an image's.

#include "agents/session.h"
#include "worker/image_root.h"

namespace agentrouter::worker {

// The image's variables below ours: ours stay, but for PATH (the image's, behind folders of the agent's own), SHELL (what
// the image has) and LANG, TZ and TERM where the image sets them.
void take_environment(agents::AgentProgram& program, const ImageRoot& image);

}  // namespace agentrouter::worker
