#pragma once
// What a request says about how its run is carried out, beside runtime and approval: read from the run's
// input, where the request keeps it and later turns of the conversation inherit it.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "model/isolation.h"
#include "model/run.h"
#include "policy/run_limits.h"

namespace agentrouter::runs {

struct RunOptions {
  bool wait_for_quota = false;   // waitForQuota: a limit of the provider is waited for
  std::vector<std::string> mcp;  // names of the MCP servers that the agent is given
  model::ApprovalScope scope = model::ApprovalScope::run;
  std::string policy;  // the name of the policy that judges its actions; empty for none
  std::optional<model::Isolation> isolation;  // requireIsolation
  std::string image;   // the name of the image that is the sandbox's root; empty: the server's default
  policy::RunLimits limits;  // as they were settled when the run was asked for
  // requires: labels that its worker must have, by name. `isolation` among them is as good as requireIsolation.
  std::vector<std::pair<std::string, std::string>> requirements;
};

// `input` is Run::input.
[[nodiscard]] RunOptions options_of(std::string_view input);

// Puts the scope into the run's input.
void set_scope(model::Run& run, model::ApprovalScope scope);
void set_limits(model::Run& run, const policy::RunLimits& limits);
void set_isolation(model::Run& run, model::Isolation isolation);

// Adds to the input of a later turn what it inherits from the turn before. Nothing that was not asked for.
void inherit_options(json::object& input, std::string_view before);

}  // namespace agentrouter::runs
