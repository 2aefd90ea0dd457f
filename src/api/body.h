#pragma once
// Request bodies, from JSON to values that the use cases take. Strict: unknown keys are refused, strings are
// trimmed as JavaScript trims, lengths count UTF-16 units. Protocol facts: contract sections 1, 2, 4 and 13.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/run.h"

namespace agentrouter::api {

struct CreateBody {
  std::string task;
  model::Runtime runtime;
  model::ApprovalMode approval_mode = model::ApprovalMode::automatic;
  std::string workspace_path;  // as asked for, not yet admitted; empty when none
  int priority = 0;
  std::string input;      // the parsed body with its defaults, as JSON text: Run.input
  std::string body_hash;  // sha256 hex of what idempotency compares
};

// Errors, all invalid: unsupported_workspace_attachment, unsupported_tool_configuration (the first such key
// in body order, before anything else is looked at), validation_error.
[[nodiscard]] base::Result<CreateBody> parse_create_body(const json::value& body);

struct DecisionBody {
  std::string action_digest;
  std::string reason;  // empty when none
};
[[nodiscard]] base::Result<DecisionBody> parse_decision_body(const json::value& body);

// A body that must be `{}`.
[[nodiscard]] base::Result<void> parse_empty_body(const json::value& body);

}  // namespace agentrouter::api
