#pragma once
// An MCP server that an agent is given: a program inside of its sandbox, which the agent's own client starts.
// Which servers there are is the operator's word; which of them a run gets, the request's.

#include <string>
#include <utility>
#include <vector>

namespace agentrouter::agents {

struct McpServer {
  std::string name;  // letters, digits, "-", "_"; without "__", which separates it from its tools' names
  std::string command;
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
};

}  // namespace agentrouter::agents
