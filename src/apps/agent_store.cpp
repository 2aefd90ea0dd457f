#include "apps/agent_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <sstream>

#include "agents/claude/claude_program.h"
#include "agents/codex/codex_program.h"
#include "apps/flags.h"
#include "apps/spawn.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"

namespace agentrouter::apps {

namespace {

namespace fs = std::filesystem;
using base::Code;
using base::fail;
using base::Result;

fs::path version_folder(const fs::path& directory, const PinnedAgent& agent) {
  return directory / agent.name / agent.version;
}

fs::path binaries(const fs::path& directory, const PinnedAgent& agent) {
  return version_folder(directory, agent) / agent.folder;
}

// The first word that begins with a digit: "codex-cli 0.169.0", "2.1.330 (Claude Code)". HOME is no folder:
// Codex makes the one that HOME names, even for this.
Result<std::string> reported_version(const fs::path& program) {
  AGENTROUTER_TRY(const auto finished,
                  run_program({program.string(), "--version"}, {"PATH=/usr/bin:/bin", "HOME=/dev/null"},
                              Stderr::discard));
  if (finished.exit_code != 0)
    return fail(Code::unsupported,
                program.string() + " --version ended with " + std::to_string(finished.exit_code));
  std::istringstream words(finished.output);
  for (std::string word; words >> word;) {
    if (word.front() >= '0' && word.front() <= '9') return word;
  }
  return std::string();
}

Result<const PinnedAgent*> named(const std::string& name) {
  for (const auto& agent : pinned_agents()) {
    if (agent.name == name) return &agent;
  }
  return fail(Code::invalid, "unknown agent \"" + name + "\": this version drives codex and claude_code",
              "usage");
}

std::vector<std::string> npm_environment(const Environment& environment) {
  std::vector<std::string> variables;
  for (const char* name :
       {"PATH", "HOME", "USER", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
        "no_proxy", "NODE_EXTRA_CA_CERTS", "npm_config_registry", "NPM_CONFIG_REGISTRY",
        "NPM_CONFIG_USERCONFIG", "npm_config_userconfig", "npm_config_cafile", "NPM_CONFIG_CAFILE",
        "SSL_CERT_FILE"}) {
    if (const auto value = environment.get(name)) variables.push_back(std::string(name) + "=" + *value);
  }
  return variables;
}

// Into a folder of its own, checked, then renamed: a half-installed agent is never found.
Result<void> install(const fs::path& directory, const PinnedAgent& agent, const Environment& environment) {
  const auto target = version_folder(directory, agent);
  if (auto made = base::make_directories(target.parent_path()); !made) return made;
  std::error_code ignored;
  for (auto folder = target.parent_path(); folder != directory.parent_path() && !folder.empty();
       folder = folder.parent_path()) {
    fs::permissions(folder,
                    fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                        fs::perms::others_read | fs::perms::others_exec,
                    ignored);
  }
  base::Fd lock(::open((target.parent_path() / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock || ::flock(lock.get(), LOCK_EX) != 0)
    return base::fail_errno("cannot lock " + target.parent_path().string(), errno);
  if (fs::exists(binaries(directory, agent) / agent.program)) return {};
  const auto temporary = target.parent_path() / (".installing-" + base::new_uuid(base::system_entropy()));
  if (auto made = base::make_directories(temporary); !made) return made;
  fs::permissions(temporary,
                  fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                      fs::perms::others_read | fs::perms::others_exec,
                  ignored);
  AGENTROUTER_TRY(const auto finished,
                  run_program({"npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix",
                               temporary.string(), agent.package + "@" + agent.version},
                              npm_environment(environment)));
  if (finished.exit_code != 0)
    return fail(Code::unavailable, "npm install ended with " + std::to_string(finished.exit_code));
  AGENTROUTER_TRY(const auto version, reported_version(temporary / agent.folder / agent.program));
  if (version != agent.version)
    return fail(Code::unsupported, "the package holds version " + version + " instead of " + agent.version,
                "agent_version_mismatch");
  fs::rename(temporary, target, ignored);
  if (ignored)
    return fail(Code::unavailable, "cannot rename " + temporary.string() + ": " + ignored.message());
  return {};
}

int list(const fs::path& directory, bool as_json) {
  json::array items;
  for (const auto& agent : pinned_agents()) {
    const auto program = binaries(directory, agent) / agent.program;
    const bool installed = fs::exists(program);
    if (as_json) {
      items.push_back({{"name", agent.name},
                       {"version", agent.version},
                       {"installed", installed},
                       {"path", program.string()}});
    } else {
      std::cout << agent.name << " " << agent.version
                << (installed ? " installed " + program.string() : " not installed") << "\n";
    }
  }
  if (as_json) std::cout << base::to_text(json::object{{"items", items}}) << "\n";
  return 0;
}

}  // namespace

const std::vector<PinnedAgent>& pinned_agents() {
  static const std::vector<PinnedAgent> agents{
      {"codex", "Codex", "@openai/codex", "0.169.0",
       "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl", "bin/codex"},
      {"claude_code", "Claude Code", "@anthropic-ai/claude-code", "2.1.330",
       "node_modules/@anthropic-ai/claude-code-linux-x64", "claude"},
  };
  return agents;
}

Result<fs::path> AgentStore::find(const PinnedAgent& agent) {
  const auto folder = binaries(directory_, agent);
  const auto program = folder / agent.program;
  struct stat info;
  if (::stat(program.c_str(), &info) != 0) {
    return fail(Code::not_found,
                agent.title + " " + agent.version + " is not installed under " + directory_.string() +
                    ": run `agentrouter agents install " + agent.name + "`",
                "agent_missing");
  }
  const auto identity = program.string() + ":" + std::to_string(info.st_ino) + ":" +
                        std::to_string(info.st_size) + ":" + std::to_string(info.st_mtim.tv_sec) + "." +
                        std::to_string(info.st_mtim.tv_nsec);
  const std::lock_guard lock(mutex_);
  if (checked_[agent.name] == identity) return folder;
  AGENTROUTER_TRY(const auto version, reported_version(program));
  if (version != agent.version) {
    return fail(
        Code::unsupported,
        "the installed " + agent.title + " is version " + version + ", this server drives " + agent.version,
        "agent_version_mismatch");
  }
  checked_[agent.name] = identity;
  return folder;
}

Result<const McpServerConfig*> AgentStore::mcp_server(const std::string& name,
                                                      model::RuntimeKind kind) const {
  for (const auto& one : mcp_) {
    if (one.server.name == name && one.serves(kind)) return &one;
  }
  return fail(Code::not_found,
              "the server's configuration has no MCP server \"" + name + "\" for " +
                  std::string(model::to_string(kind)),
              "mcp_server_unknown");
}

std::set<std::string> AgentStore::installed() const {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& agent : pinned_agents()) {
    if (fs::exists(binaries(directory_, agent) / agent.program, error)) names.insert(agent.name);
  }
  return names;
}

Result<worker::PreparedAgent> AgentStore::prepare(const worker::AgentRequest& request) {
  const auto kind = request.runtime.kind;
  AGENTROUTER_TRY(const auto* agent, named(std::string(model::to_string(kind))));
  AGENTROUTER_TRY(const auto folder, find(*agent));
  const bool codex = kind == model::RuntimeKind::codex;
  worker::PreparedAgent prepared;
  prepared.binds.push_back(
      {.from = folder, .to = std::string(codex ? agents::codex_root : agents::claude_root)});
  std::vector<agents::McpServer> servers;
  for (const auto& name : request.mcp) {
    AGENTROUTER_TRY(const auto* one, mcp_server(name, kind));
    servers.push_back(one->server);
    if (!one->upstream.url.empty()) prepared.mcp.push_back(one->upstream);
    if (!one->mount.empty()) prepared.binds.push_back({.from = one->mount, .to = mcp_mount(name)});
  }
  if (codex) {
    agents::CodexSetup setup{
        .model = request.model, .mcp = std::move(servers), .gates_calls = request.gates_calls};
    if (request.simulated) setup.retries = agents::codex_sim_retries;
    prepared.program = agents::codex_program(setup);
  } else {
    agents::ClaudeSetup setup{.model = request.model, .mcp = std::move(servers)};
    if (request.simulated) setup.retries = agents::claude_sim_retries;
    prepared.program = agents::claude_program(setup);
  }
  return prepared;
}

int agents_command(const std::vector<std::string>& arguments, const Environment& environment) {
  const FlagSpec spec{.values = {}, .switches = {"json", "help"}};
  const auto flags = parse_flags(arguments, spec);
  const std::string verb = flags && !flags->rest.empty() ? flags->rest.front() : "";
  if (!flags || flags->has("help") || (verb != "install" && verb != "list")) {
    const bool asked = flags && flags->has("help");
    (asked ? std::cout : std::cerr)
        << (flags ? "" : flags.error().message + "\n")
        << "Usage: agentrouter agents install [codex|claude_code]...\n       agentrouter agents list "
           "[--json]\n\n"
           "Installs the pinned agent CLIs with npm under AGENTROUTER_AGENTS_DIR, or lists them.\n\n"
           "Example: agentrouter agents install codex\n";
    return asked ? 0 : 2;
  }
  const fs::path directory = default_paths(environment, ::geteuid() == 0).agents;
  if (verb == "list") return list(directory, flags->has("json"));
  std::vector<std::string> names(flags->rest.begin() + 1, flags->rest.end());
  if (names.empty()) names = {"codex"};
  for (const auto& name : names) {
    const auto agent = named(name);
    if (!agent) {
      std::cerr << "agentrouter: " << agent.error().message << "\n";
      return 2;
    }
    const auto done = install(directory, **agent, environment);
    if (!done) {
      std::cerr << "agentrouter: cannot install " << name << ": " << done.error().message << "\n";
      return 1;
    }
    std::cout << name << " " << (*agent)->version << " is installed under "
              << version_folder(directory, **agent).string() << "\n";
  }
  return 0;
}

}  // namespace agentrouter::apps
