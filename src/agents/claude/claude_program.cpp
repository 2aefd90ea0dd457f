#include "agents/claude/claude_program.h"

namespace agentrouter::agents {

namespace {

// Every one of them asks first (README). Left out: what reaches the web, waits for a person, goes on after
// the turn, or sets up other work.
constexpr auto tools = "Agent,Bash,Edit,NotebookEdit,Read,TaskCreate,TaskGet,TaskList,TaskUpdate,Write";

std::string settings() {
  json::object permissions;
  permissions["ask"] = json::array{"*"};
  return base::to_text(json::object{{"permissions", std::move(permissions)}, {"disableAllHooks", true}});
}

std::string mcp_config(const std::vector<McpServer>& servers) {
  json::object all;
  for (const auto& server : servers) {
    if (!server.url.empty()) {
      all[server.name] = {{"type", "http"}, {"url", server.url}};
      continue;
    }
    json::array args;
    for (const auto& argument : server.args) args.emplace_back(argument);
    json::object env;
    for (const auto& [name, value] : server.env) env[name] = value;
    all[server.name] = {{"command", server.command}, {"args", std::move(args)}, {"env", std::move(env)}};
  }
  return base::to_text(json::object{{"mcpServers", std::move(all)}});
}

std::vector<std::string> options(const ClaudeSetup& setup) {
  return {"-p",
          "--input-format",
          "stream-json",
          "--output-format",
          "stream-json",
          "--verbose",
          "--permission-prompt-tool",
          "stdio",
          "--permission-mode",
          "default",
          "--setting-sources",
          "",
          "--strict-mcp-config",
          "--disable-slash-commands",
          "--settings",
          settings(),
          "--tools",
          tools,
          "--model",
          setup.model};
}

}  // namespace

AgentProgram claude_program(const ClaudeSetup& setup) {
  const std::string home(claude_home);
  AgentProgram program;
  program.command_name = "claude";
  program.argv_for_action = options(setup);
  if (!setup.mcp.empty()) {
    program.files = {{home + "/agentrouter-mcp.json", mcp_config(setup.mcp)}};
    program.argv_for_action.insert(program.argv_for_action.end(),
                                   {"--mcp-config", program.files.front().path});
  }
  program.argv = program.argv_for_action;
  program.argv.insert(program.argv.begin(), std::string(claude_root) + "/claude");
  program.resume_argv = {"--resume"};
  program.system_settings = {"/etc/claude-code"};
  program.env = {
      "HOME=" + home.substr(0, home.rfind('/')),
      "CLAUDE_CONFIG_DIR=" + home,
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "USER=agent",
      "LOGNAME=agent",
      "SHELL=/bin/bash",
      "LANG=C.UTF-8",
      "TERM=dumb",
      "TZ=UTC",
      "TMPDIR=/tmp",
      "NO_COLOR=1",
      "ANTHROPIC_BASE_URL=" + setup.base_url,
      "ANTHROPIC_API_KEY=agentrouter-dummy-key",
      "API_TIMEOUT_MS=" + std::to_string(setup.retries.request_timeout.count()),
      "CLAUDE_CODE_MAX_RETRIES=" + std::to_string(setup.retries.max),
      "CLAUDE_CODE_DISABLE_AUTO_MEMORY=1",
      "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS=1",
      "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
      "CLAUDE_CODE_ENABLE_TODO_TOOLS=1",
      "DISABLE_AUTOUPDATER=1",
      "DISABLE_ERROR_REPORTING=1",
      "DISABLE_TELEMETRY=1",
  };
  // Beside the conversations in projects/.
  for (const auto* name : {"backups", "plugins", "session-env", "sessions", "shell-snapshots"}) {
    program.caches.push_back(".claude/" + std::string(name));
  }
  return program;
}

}  // namespace agentrouter::agents
