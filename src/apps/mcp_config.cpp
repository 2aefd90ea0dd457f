#include "apps/mcp_config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include "base/file.h"
#include "base/utf8.h"
#include "egress/egress.h"
#include "net/http.h"
#include "sandbox/plan.h"

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

constexpr std::size_t headers_at_most = 16;

// `kind` is headers, headers_file or headers_env. A variable stays a name ("$NAME") until all is read.
Result<void> set_header(McpServerConfig& config, std::string_view kind, const std::string& name,
                        const std::string& text) {
  if (!is_settable_header(name))
    return fail(Code::invalid, "\"" + name + "\" is no header that can be set", "usage");
  const auto& all = config.upstream.headers;
  const bool known =
      std::any_of(all.begin(), all.end(), [&](const auto& one) { return net::iequals(one.name, name); });
  if (known || all.size() == headers_at_most)
    return fail(Code::invalid, "the header \"" + name + "\" is given twice, or one of too many", "usage");
  std::string value = "=" + text;
  if (kind == "headers_env") {
    value = "$" + text;
  } else if (kind == "headers_file") {
    AGENTROUTER_TRY(const auto content, base::read_file(text, 64 * 1024));
    value = "=" + std::string(base::trim_js(content));
  }
  config.upstream.headers.push_back({name, std::move(value)});
  return {};
}

// From "headers_file.Authorization" its two parts; empty for any other key.
std::pair<std::string, std::string> header_of(const std::string& key) {
  const auto dot = key.find('.');
  const auto kind = key.substr(0, dot);
  if (dot == std::string::npos || (kind != "headers" && kind != "headers_file" && kind != "headers_env"))
    return {};
  return {kind, key.substr(dot + 1)};
}

Result<void> finish_remote(McpServerConfig& config, const Environment& environment) {
  const auto name = "mcp_servers." + config.server.name;
  if (!config.server.args.empty() || !config.server.env.empty() || !config.mount.empty())
    return fail(Code::invalid, name + " has a url: args, env and mount are for a command", "usage");
  if (const auto url = egress::mcp_url(config.upstream.url); !url)
    return fail(Code::invalid, name + ": " + url.error().message, "usage");
  for (auto& header : config.upstream.headers) {
    std::string value = header.value.substr(1);
    if (header.value.front() == '$') value = environment.get(value).value_or("");
    if (const auto usable = egress::Secret::create_field(value); !usable) {
      return fail(Code::invalid, name + ": the header " + header.name + ": " + usable.error().message,
                  "usage");
    }
    header.value = std::move(value);
  }
  config.upstream.name = config.server.name;
  config.server.url = std::string("http://") + sandbox::provider_address + "/mcp/" + config.server.name;
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

bool is_settable_header(std::string_view name) {
  constexpr std::string_view own[] = {"host",       "connection", "content-length", "transfer-encoding",
                                      "accept",     "te",         "trailer",        "upgrade",
                                      "keep-alive", "expect",     "content-type",   "accept-encoding"};
  const auto is_token = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), is_token) &&
         std::none_of(std::begin(own), std::end(own),
                      [&](std::string_view one) { return net::iequals(one, name); });
}

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
  } else if (setting.key == "url") {
    config.upstream.url = text;
  } else if (const auto [kind, header] = header_of(setting.key); !kind.empty()) {
    return set_header(config, kind, header, text);
  } else if (setting.key.starts_with(env) && is_variable_name(setting.key.substr(env.size()))) {
    config.server.env.emplace_back(setting.key.substr(env.size()), text);
  } else {
    return fail(Code::invalid,
                "unknown key \"" + setting.key +
                    "\" of an MCP server: want command, args, mount, env, or url, headers, headers_file, "
                    "headers_env; and runtimes",
                "usage");
  }
  return {};
}

Result<void> finish_mcp(std::vector<McpServerConfig>& servers, const Environment& environment) {
  for (auto& config : servers) {
    const bool remote = !config.upstream.url.empty();
    if (config.server.command.empty() != remote || (!remote && !config.upstream.headers.empty())) {
      return fail(
          Code::invalid,
          "mcp_servers." + config.server.name + " needs either a command or a url; headers go with a url",
          "usage");
    }
    if (remote) {
      if (auto done = finish_remote(config, environment); !done) return done;
      continue;
    }
    const auto mount = mcp_mount(config.server.name);
    replace_mount(config.server.command, mount);
    for (auto& argument : config.server.args) replace_mount(argument, mount);
  }
  return {};
}

std::string print_mcp(const std::vector<McpServerConfig>& servers) {
  std::ostringstream out;
  for (const auto& config : servers) {
    out << "\n[mcp_servers." << config.server.name << "]\n";
    if (config.upstream.url.empty()) {
      out << "command = " << quoted_text(config.server.command) << "\nargs = [";
      for (std::size_t i = 0; i < config.server.args.size(); ++i)
        out << (i ? ", " : "") << quoted_text(config.server.args[i]);
      out << "]\n";
    } else {
      out << "url = " << quoted_text(config.upstream.url) << "\n";
    }
    if (!config.mount.empty()) out << "mount = " << quoted_text(config.mount.string()) << "\n";
    out << "runtimes = [" << (config.codex ? "\"codex\"" : "")
        << (config.codex && config.claude_code ? ", " : "") << (config.claude_code ? "\"claude_code\"" : "")
        << "]\n";
    for (const auto& [name, value] : config.server.env) out << "# env." << name << ": set\n";
    for (const auto& header : config.upstream.headers) out << "# headers." << header.name << ": [REDACTED]\n";
  }
  return out.str();
}

}  // namespace agentrouter::apps
