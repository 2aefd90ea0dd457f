#pragma once
// The proof behind credential_boundary.verified: before an agent starts, our own program looks around in its
// sandbox with exactly its rights, view and arguments, and at its environment (boundary_view.h), which it
// does not have itself: an image may say in it what our program's loader is to do. It is told what the
// secrets look like, not what they are (base/needles.h).

#include <chrono>
#include <string>
#include <vector>

#include "agents/session.h"
#include "keeper/boundary_view.h"
#include "keeper/notices.h"

namespace agentrouter::keeper {

// A report with a surface is of a boundary that does not hold. Errors, which prove nothing: those of
// Sandbox::restore, timeout, unavailable (it died), invalid (what it said).
[[nodiscard]] base::Task<base::Result<BoundaryReport>> check_boundary(
    Sandbox& sandbox, Notices& notices, const agents::AgentProgram& program, BoundaryView::System system,
    const base::Redactor& secrets, std::chrono::milliseconds patience = std::chrono::seconds(10));

// `agentrouter check-boundary PORTS host|image AGENT'S_ARGUMENTS...`: finds 3 = needles, 4 = where the report
// goes, 5 = the agent's environment, each variable with a zero at its end.
[[nodiscard]] int run_boundary_checker(const std::vector<std::string>& arguments);

}  // namespace agentrouter::keeper
