#pragma once
// How the Codex CLI is started inside the sandbox: command line, environment and a config.toml that it cannot
// change. The settings close what would let a repository or the CLI itself get around us: an untrusted
// project, no plugins, hooks or subagents, bounded retries, no other way out than the provider's address.

#include <chrono>
#include <string>

#include "agents/mcp_server.h"
#include "agents/session.h"

namespace agentrouter::agents {

struct CodexRetries {
  int request_max = 4;
  int stream_max = 5;
  std::chrono::milliseconds stream_idle = std::chrono::seconds(300);
};
// Under the simulated provider a failure is final soon.
inline constexpr CodexRetries codex_sim_retries{2, 2, std::chrono::seconds(60)};

struct CodexSetup {
  std::string model;  // never empty: the CLI's own default would change the tool set
  std::string cwd = "/workspace";
  std::string base_url = "http://127.83.1.1/v1";  // where the provider listens inside the sandbox
  CodexRetries retries;
  std::vector<McpServer> mcp;  // exactly these are given
  bool gates_calls = false;    // each call is judged: nothing that can be done without asking
};

// Paths inside the sandbox. The package folder of the CLI (bin, codex-path, codex-resources) must be at
// codex_root, read-only; codex_home must be writable, except the config.toml in it.
inline constexpr std::string_view codex_root = "/opt/codex";
inline constexpr std::string_view codex_home = "/home/agent/.codex";

[[nodiscard]] AgentProgram codex_program(const CodexSetup& setup);

}  // namespace agentrouter::agents
