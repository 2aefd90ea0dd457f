#include "agents/codex/codex_program.h"

namespace agentrouter::agents {

namespace {

// A basic string of TOML. Its escapes are those of JSON.
std::string quoted(std::string_view text) {
  return base::to_text(json::value(text));
}

std::string setting(std::string_view key, const std::string& value) {
  return std::string(key) + " = " + value + "\n";
}

// What stays off, by name. `agents.enabled` is the switch of subagents.
constexpr std::string_view disabled_features[] = {
    "apps",
    "browser_use",
    "browser_use_external",
    "computer_use",
    "daemon_auto_start",
    "enable_request_compression",
    "goals",
    "hooks",
    "image_generation",
    "in_app_browser",
    "plugin_sharing",
    "plugins",
    "remote_plugin",
    "skill_mcp_dependency_install",
    "tool_suggest",
    "unbounded_connection_retries",
};

std::string mcp_tables(const std::vector<McpServer>& servers) {
  std::string text;
  for (const auto& server : servers) {
    json::array args;
    for (const auto& argument : server.args) args.emplace_back(argument);
    text += "\n[mcp_servers." + server.name + "]\n";
    if (!server.url.empty()) {
      text += setting("url", quoted(server.url));
      continue;
    }
    text += setting("command", quoted(server.command)) + setting("args", base::to_text(args));
    if (server.env.empty()) continue;
    text += "\n[mcp_servers." + server.name + ".env]\n";
    for (const auto& [name, value] : server.env) text += setting(name, quoted(value));
  }
  return text;
}

std::string config_toml(const CodexSetup& setup) {
  std::string text = "# Written by AgentRouter for one attempt; the agent cannot change it.\n";
  text += setting("model", quoted(setup.model));
  text += setting("model_provider", quoted("agentrouter"));
  text += setting("check_for_update_on_startup", "false");
  text += setting("web_search", quoted("disabled"));
  text += setting("cli_auth_credentials_store", quoted("file"));
  text += "\n[model_providers.agentrouter]\n";
  text += setting("name", quoted("agentrouter"));
  text += setting("base_url", quoted(setup.base_url));
  text += setting("env_key", quoted("AGENTROUTER_PROVIDER_KEY"));
  text += setting("wire_api", quoted("responses"));
  text += setting("requires_openai_auth", "false");
  text += setting("supports_websockets", "false");
  text += setting("request_max_retries", std::to_string(setup.retries.request_max));
  text += setting("stream_max_retries", std::to_string(setup.retries.stream_max));
  text += setting("stream_idle_timeout_ms", std::to_string(setup.retries.stream_idle.count()));
  text += "\n[features]\n";
  for (const auto feature : disabled_features) text += setting(feature, "false");
  // Without a terminal a running command's input is closed: nothing can be typed into it.
  if (setup.gates_calls) text += setting("view_image", "false") + setting("unified_exec_tty", "false");
  text += "\n[agents]\n" + setting("enabled", "false");
  text += "\n[analytics]\n" + setting("enabled", "false");
  text += "\n[feedback]\n" + setting("enabled", "false");
  text += "\n[otel]\n";
  for (const auto* exporter : {"exporter", "trace_exporter", "metrics_exporter"}) {
    text += setting(exporter, quoted("none"));
  }
  text += "\n[history]\n" + setting("persistence", quoted("none"));
  text += mcp_tables(setup.mcp);
  text += "\n[projects." + quoted(setup.cwd) + "]\n" + setting("trust_level", quoted("untrusted"));
  return text;
}

}  // namespace

AgentProgram codex_program(const CodexSetup& setup) {
  const std::string root(codex_root);
  const std::string home(codex_home);
  AgentProgram program;
  program.argv = {root + "/bin/codex", "app-server", "--stdio"};
  program.env = {
      "HOME=" + home.substr(0, home.rfind('/')),
      "CODEX_HOME=" + home,
      "PATH=" + root + "/codex-path:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "USER=agent",
      "LOGNAME=agent",
      "SHELL=/bin/bash",
      "LANG=C.UTF-8",
      "TERM=dumb",
      "TZ=UTC",
      "TMPDIR=/tmp",
      "NO_COLOR=1",
      "AGENTROUTER_PROVIDER_KEY=agentrouter-dummy-key",
  };
  program.files = {{home + "/config.toml", config_toml(setup)}};
  program.system_settings = {"/etc/codex"};
  // A thread is its file in sessions/; the databases are made again from those.
  for (const auto* name : {"shell_snapshots", "skills/.system", "thread-writer-locks", "tmp"}) {
    program.caches.push_back(".codex/" + std::string(name));
  }
  for (const auto* name : {"goals_1", "logs_2", "memories_1", "queue_1", "state_5", "thread_history_1"}) {
    for (const auto* part : {"", "-shm", "-wal"}) {
      program.caches.push_back(".codex/" + std::string(name) + ".sqlite" + part);
    }
  }
  program.command_name = "codex";
  program.argv_for_action = {"app-server", "--stdio"};
  return program;
}

}  // namespace agentrouter::agents
