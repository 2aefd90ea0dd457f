#include "apps/mcp_config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

namespace agentrouter::apps {

namespace {

using base::Code;
using base::fail;
using base::Result;

bool is_server_name(std::string_view name) {
  const auto is_word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 32 && is_word(name.front()) && is_word(name.back()) &&
         name.find("__") == std::string_view::npos &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_word(c) || c == '_' || c == '-'; });
}

bool is_variable_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && !(name.front() >= '0' && name.front() <= '9') &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
         });
}

McpServerConfig& server_of(std::vector<McpServerConfig>& servers, const std::string& name) {
  const auto found =
      std::find_if(servers.begin(), servers.end(), [&](const auto& one) { return one.server.name == name; });
  if (found != servers.end()) return *found;
  servers.emplace_back().server.name = name;
  return servers.back();
}

Result<void> set_runtimes(McpServerConfig& config, const std::vector<std::string>& names) {
  config.codex = config.claude_code = false;
  for (const auto& name : names) {
    if (name != "codex" && name != "claude_code")
      return fail(Code::invalid, "runtimes holds \"" + name + "\": want codex, claude_code", "usage");
    (name == "codex" ? config.codex : config.claude_code) = true;
  }
  return {};
}

void replace_mount(std::string& text, const std::string& mount) {
  constexpr std::string_view mark = "{mount}";
  for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + mount.size())) {
    text.replace(at, mark.size(), mount);
  }
}

std::string quoted_text(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

}  // namespace

std::string mcp_mount(std::string_view name) {
  return "/opt/mcp/" + std::string(name);
}

Result<void> set_mcp(std::vector<McpServerConfig>& servers, const McpSetting& setting) {
  constexpr std::string_view env = "env.";
  if (!is_server_name(setting.name)) {
    return fail(Code::invalid,
                "\"" + setting.name +
                    "\" is no name of an MCP server: want up to 32 of a-z, 0-9, \"-\", \"_\", not \"__\"",
                "usage");
  }
  auto& config = server_of(servers, setting.name);
  const auto text = setting.values.empty() ? std::string() : setting.values.front();
  if (setting.key == "command") {
    config.server.command = text;
  } else if (setting.key == "args") {
    config.server.args = setting.values;
  } else if (setting.key == "mount") {
    if (!text.starts_with('/')) return fail(Code::invalid, "mount: want an absolute path", "usage");
    config.mount = text;
  } else if (setting.key == "runtimes") {
    return set_runtimes(config, setting.values);
  } else if (setting.key.starts_with(env) && is_variable_name(setting.key.substr(env.size()))) {
    config.server.env.emplace_back(setting.key.substr(env.size()), text);
  } else {
    return fail(
        Code::invalid,
        "unknown key \"" + setting.key + "\" of an MCP server: want command, args, mount, env, runtimes",
        "usage");
  }
  return {};
}

Result<void> finish_mcp(std::vector<McpServerConfig>& servers) {
  for (auto& config : servers) {
    if (config.server.command.empty())
      return fail(Code::invalid, "mcp_servers." + config.server.name + " has no command", "usage");
    const auto mount = mcp_mount(config.server.name);
    replace_mount(config.server.command, mount);
    for (auto& argument : config.server.args) replace_mount(argument, mount);
  }
  return {};
}

std::string print_mcp(const std::vector<McpServerConfig>& servers) {
  std::ostringstream out;
  for (const auto& config : servers) {
    out << "\n[mcp_servers." << config.server.name << "]\ncommand = " << quoted_text(config.server.command)
        << "\nargs = [";
    for (std::size_t i = 0; i < config.server.args.size(); ++i)
      out << (i ? ", " : "") << quoted_text(config.server.args[i]);
    out << "]\n";
    if (!config.mount.empty()) out << "mount = " << quoted_text(config.mount.string()) << "\n";
    out << "runtimes = [" << (config.codex ? "\"codex\"" : "")
        << (config.codex && config.claude_code ? ", " : "") << (config.claude_code ? "\"claude_code\"" : "")
        << "]\n";
    for (const auto& [name, value] : config.server.env) out << "# env." << name << ": set\n";
  }
  return out.str();
}

}  // namespace agentrouter::apps
