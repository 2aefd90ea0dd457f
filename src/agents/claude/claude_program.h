#pragma once
// How the Claude Code CLI is started inside the sandbox: command line and environment. The settings close
// what would let a repository or the CLI itself get around us: no settings, instructions, hooks, commands or
// MCP servers of the repository, a rule that every tool call asks, only the tools that ask, bounded retries,
// no other way out than the provider's address.

#include <chrono>
#include <string>

#include "agents/mcp_server.h"
#include "agents/session.h"

namespace agentrouter::agents {

struct ClaudeRetries {
  int max = 4;
  std::chrono::milliseconds request_timeout = std::chrono::seconds(300);
};
// Under the simulated provider a failure is final soon.
inline constexpr ClaudeRetries claude_sim_retries{2, std::chrono::seconds(60)};

struct ClaudeSetup {
  std::string model;                           // never empty: the CLI's own default changes
  std::string base_url = "http://127.83.1.1";  // where the provider listens inside the sandbox, without /v1
  ClaudeRetries retries;
  std::vector<McpServer> mcp;  // exactly these are given
};

// The servers' file is read-only and its values are in no argument, so that no event shows them.
//
// Paths inside the sandbox. The package folder of the CLI must be at claude_root, read-only; claude_home must
// be writable. Everything that says how the agent is held is in argv and env, which it cannot change.
inline constexpr std::string_view claude_root = "/opt/claude";
inline constexpr std::string_view claude_home = "/home/agent/.claude";

[[nodiscard]] AgentProgram claude_program(const ClaudeSetup& setup);

}  // namespace agentrouter::agents
