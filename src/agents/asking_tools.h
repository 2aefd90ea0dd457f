#pragma once
// The tools of an agent's CLI that may be offered to a model where each call is judged: those that the CLI
// asks about before it uses them, and those that touch nothing. README.md says how each was measured.

#include <string>
#include <vector>

#include "model/run.h"

namespace agentrouter::agents {

struct AskingTools {
  std::vector<std::string> names;  // "mcp__*" is every name that begins so
  std::vector<std::string>
      wait_only;  // of those: waits for what runs already; must not be given text to type
};
[[nodiscard]] AskingTools asking_tools(model::RuntimeKind kind);

}  // namespace agentrouter::agents
