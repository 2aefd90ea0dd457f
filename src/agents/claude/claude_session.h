#pragma once
// One turn of Claude Code over the stream-json control protocol of `claude -p`.

#include <memory>

#include "agents/session.h"

namespace agentrouter::agents {

// `spec.prompt` may be any text; it goes to the agent by message, never by argv. A turn that continues a
// session needs a process that was started with it (AgentProgram::resume_argv).
[[nodiscard]] std::unique_ptr<Session> make_claude_session(TurnSpec spec, SessionLimits limits = {});

}  // namespace agentrouter::agents
