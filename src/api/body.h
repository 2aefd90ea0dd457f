#pragma once
// Request bodies, from JSON to values that the use cases take. Strict: unknown keys are refused, strings are
// trimmed as JavaScript trims, lengths count UTF-16 units. Protocol facts: contract sections 1, 2, 4 and 13.

#include <chrono>
#include <optional>
#include <string>

#include "api/issues.h"
#include "base/json.h"
#include "model/run.h"
#include "model/isolation.h"
#include "policy/run_limits.h"

namespace agentrouter::api {

struct CreateBody {
  std::string task;
  model::Runtime runtime;
  model::ApprovalMode approval_mode = model::ApprovalMode::automatic;
  model::Workspace workspace;  // as asked for, not yet admitted
  int priority = 0;
  model::Tags tags;
  std::optional<std::chrono::seconds> approval_timeout;
  std::vector<std::string> mcp;  // names, not yet looked up
  std::string policy;            // a name, not yet looked up; empty: none
  // At least this is to stand between the agent and the machine.
  std::optional<model::Isolation> isolation = {};
  std::string image;             // a name, not yet looked up; empty: none
  policy::RunLimits limits;      // as asked for
  std::string input;             // the parsed body with its defaults, as JSON text: Run.input
};

// Errors, all invalid: unsupported_workspace_attachment, unsupported_tool_configuration (the first such key
// in body order, before anything else is looked at), unsupported_option (details {option}), validation_error.
[[nodiscard]] base::Result<CreateBody> parse_create_body(const json::value& body);

struct DecisionBody {
  std::string action_digest;
  std::string reason;  // empty when none
  std::optional<json::object> updated_input = {};
};
enum class DecisionVerb { approve, deny };
[[nodiscard]] base::Result<DecisionBody> parse_decision_body(const json::value& body, DecisionVerb verb);

struct DecisionsBody {
  struct One {
    std::string action_id;
    std::string action_digest;
    bool approved = false;
    std::string reason;  // empty when none
  };
  std::vector<One> decisions;  // 1 to 100
};
[[nodiscard]] base::Result<DecisionsBody> parse_decisions_body(const json::value& body);

// The mode, or nothing when the key is missing; what is none is a finding.
[[nodiscard]] std::optional<model::ApprovalMode> approval_mode_of(Issues& issues, const json::value* value);

[[nodiscard]] std::optional<model::ApprovalScope> approval_scope_of(Issues& issues, const json::value* value);

// Each one that is there fits; what does not is a finding.
[[nodiscard]] policy::RunLimits limits_of(Issues& issues, const json::value* value);

struct MessageBody {
  std::string message;
  std::optional<model::ApprovalMode> approval_mode;
  std::optional<model::ApprovalScope> approval_scope;
  policy::RunLimits limits;
};
[[nodiscard]] base::Result<MessageBody> parse_message_body(const json::value& body);

struct ForkBody {
  std::string message;
  std::optional<int> at_turn;
  policy::RunLimits limits;
};
[[nodiscard]] base::Result<ForkBody> parse_fork_body(const json::value& body);

// A body that must be `{}`.
[[nodiscard]] base::Result<void> parse_empty_body(const json::value& body);

}  // namespace agentrouter::api
