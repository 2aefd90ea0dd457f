#pragma once
// An MCP server that an agent is given: a program inside of its sandbox, which the agent's own client starts,
// or an address that it can reach from there. Which servers there are is the operator's word; which of them a
// run gets, the request's.

#include <string>
#include <utility>
#include <vector>

namespace agentrouter::agents {

struct McpServer {
  std::string name;  // letters, digits, "-", "_"; without "__", which separates it from its tools' names
  std::string command;
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
  std::string url = {};  // streamable HTTP, as seen from inside, instead of a command
};

}  // namespace agentrouter::agents
