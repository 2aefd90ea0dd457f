#pragma once
// The installed agent CLIs of this machine: AGENTS/<name>/<version>/ as npm lays it out. Versions are pinned:
// another version is not driven, because the gate relies on details of the protocol.

#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "apps/environment.h"
#include "apps/mcp_config.h"
#include "base/error.h"
#include "worker/ports.h"

namespace agentrouter::apps {

struct PinnedAgent {
  std::string name;     // "codex"
  std::string title;    // "Codex"
  std::string package;  // "@openai/codex"
  std::string version;  // "0.169.0"
  std::string folder;   // below AGENTS/<name>/<version>: what is bound into the sandbox
  std::string program;  // below that folder
};
// The agents that this version can drive.
[[nodiscard]] const std::vector<PinnedAgent>& pinned_agents();

class AgentStore final : public worker::AgentPreparer {
 public:
  explicit AgentStore(std::filesystem::path directory, std::vector<McpServerConfig> mcp = {})
      : directory_(std::move(directory)), mcp_(std::move(mcp)) {}

  // Safe from any thread. The version is asked for once per installed file, not once per run.
  base::Result<worker::PreparedAgent> prepare(const worker::AgentRequest& request) override;

  // Names of the agents whose programs are there, whatever their version.
  [[nodiscard]] std::set<std::string> installed() const;

 private:
  base::Result<std::filesystem::path> find(const PinnedAgent& agent);
  base::Result<const McpServerConfig*> mcp_server(const std::string& name, model::RuntimeKind kind) const;

  std::filesystem::path directory_;
  std::vector<McpServerConfig> mcp_;
  std::mutex mutex_;
  std::map<std::string, std::string> checked_;  // by name: the file that was asked, with its inode and times
};

// `agentrouter agents install [NAME]...` and `agentrouter agents list`. Returns the exit code.
[[nodiscard]] int agents_command(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace agentrouter::apps
