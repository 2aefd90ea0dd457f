#pragma once
// A tool call of an agent in our words, whatever protocol told of it.

#include <string>

#include "base/json.h"

namespace agentrouter::agents {

struct ToolCall {
  std::string call_id;
  std::string tool;                 // shell, edit, read, mcp, web, todo, subagent, other
  std::string title;                // for people, in full: one_line() makes a line of it
  json::object args;                // in full
  std::string parent_call_id = {};  // of the subagent call that it belongs to; empty for the agent's own
};

}  // namespace agentrouter::agents
