#pragma once
// [mcp_servers.NAME] of the configuration: which MCP servers runs may be given.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agents/mcp_server.h"
#include "apps/environment.h"
#include "base/error.h"
#include "keeper/plan.h"
#include "model/run.h"

namespace agentrouter::apps {

struct McpServerConfig {
  agents::McpServer server;     // "{mount}" in command and args is already the path inside
  keeper::McpPlan upstream;     // of one with an address: where it really is, and what is added there
  std::filesystem::path mount;  // a folder of this machine, shown read-only at mcp_mount(name); may be empty
  bool codex = true;
  bool claude_code = true;

  [[nodiscard]] bool serves(model::RuntimeKind kind) const {
    return kind == model::RuntimeKind::codex ? codex : claude_code;
  }
};

// What names of header fields are made of, without those that the egress sets itself.
[[nodiscard]] bool is_settable_header(std::string_view name);

// Where a server's folder stands inside of a sandbox.
[[nodiscard]] std::string mcp_mount(std::string_view name);

struct McpSetting {
  std::string name;
  std::string key;                  // command, args, mount, runtimes, env.NAME, url, headers.NAME,
                                    // headers_file.NAME, headers_env.NAME
  std::vector<std::string> values;  // one unless the key is a list
};
// Takes one key into `servers`, which gets the server at its first key. Errors: invalid, with what is wanted;
// those of reading a headers_file.
[[nodiscard]] base::Result<void> set_mcp(std::vector<McpServerConfig>& servers, const McpSetting& setting);
// What only the whole table shows, and the variables that headers_env names. Errors: invalid (a server with
// neither a command nor an address, or with both; an unusable address or header).
[[nodiscard]] base::Result<void> finish_mcp(std::vector<McpServerConfig>& servers,
                                            const Environment& environment);

// As TOML, with the values of `env` and `headers` left out.
[[nodiscard]] std::string print_mcp(const std::vector<McpServerConfig>& servers);

}  // namespace agentrouter::apps
