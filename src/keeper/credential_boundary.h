#pragma once
// The proof behind credential_boundary.verified: nothing that enters the sandbox holds the provider key.

#include <string>
#include <string_view>

#include "agents/session.h"

namespace agentrouter::keeper {

// The agent's environment (env), what /proc shows of its start (proc), and the files put into its home
// (home): those are all the ways in. Returns the surface that holds the key, or an empty string.
[[nodiscard]] std::string surface_with_key(const agents::AgentProgram& program, std::string_view key);

}  // namespace agentrouter::keeper
