#pragma once
// The part of a request that says what an agent is to work on. Internal to api.

#include "api/issues.h"
#include "model/workspace.h"

namespace agentrouter::api {

// As asked for, not yet admitted: a path, an upload's id, a repository or a run. Scratch when the key is
// missing. What does not fit is a finding.
[[nodiscard]] model::Workspace workspace_of(Issues& issues, const json::value* value);

}  // namespace agentrouter::api
