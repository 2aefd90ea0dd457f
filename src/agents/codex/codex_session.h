#pragma once
// One turn of Codex over `codex app-server --stdio`: JSON-RPC, one message per line. Everything that Codex
// wants to do is asked for (approvalPolicy untrusted) and becomes an Ask; only answer(accept) lets it happen.
//
// Failure codes: provider_runtime_failed (with a cause), session_not_found (the thread to resume is gone),
// agent_exited, agent_protocol_error, output_limit.

#include <memory>

#include "agents/session.h"

namespace agentrouter::agents {

[[nodiscard]] std::unique_ptr<Session> make_codex_session(TurnSpec spec, SessionLimits limits = {});

}  // namespace agentrouter::agents
