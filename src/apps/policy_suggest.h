#pragma once
// Rules drafted from decisions that people made: a beginning for a person to read, never a policy by itself.

#include <string>
#include <vector>

#include "base/json.h"

namespace agentrouter::apps {

struct DecidedAction {
  std::string tool;
  json::object input;  // as policy::ActionFacts has it in args
  bool approved = false;
};

// As a policy file that inherits ask-writes. What was approved and denied, or cannot be said by a rule,
// stands in comments.
[[nodiscard]] std::string draft_policy(const std::vector<DecidedAction>& actions);

}  // namespace agentrouter::apps
