#pragma once
// What `agentrouter serve` runs with: flags over environment over agentrouter.toml over defaults. Unknown
// keys are an error; secrets are never printed.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/blob_config.h"
#include "apps/cluster_config.h"
#include "apps/egress_config.h"
#include "apps/environment.h"
#include "apps/flags.h"
#include "apps/image_store.h"
#include "apps/keeping_config.h"
#include "apps/machine_config.h"
#include "apps/mcp_config.h"
#include "apps/policy_files.h"
#include "apps/push_desk.h"
#include "apps/spending_config.h"
#include "apps/store_config.h"
#include "apps/tree_config.h"
#include "apps/vault_config.h"
#include "base/error.h"
#include "net/server.h"
#include "policy/quota.h"
#include "runs/conversations.h"
#include "webhooks/guard.h"

namespace agentrouter::apps {

enum class Role { all, api, worker };

// More than net's own default: each live stream is a connection.
inline constexpr std::size_t default_connections = 16'384;

struct Config {
  std::string listen_host = "127.0.0.1";
  std::uint16_t listen_port = 8787;
  std::string data;
  std::string agents_dir;
  Role role = Role::all;
  bool sim = false;
  std::string record_dir;  // of cassettes; at most one of both
  std::string replay_dir;
  int concurrency = 0;  // 0: from cores and memory
  int max_attempts = 3;
  std::vector<std::string> workspace_roots;
  std::string codex_model = "gpt-5.5";
  std::string claude_model = "claude-opus-5-5";
  std::string openai_base_url = "https://api.openai.com/v1";
  std::optional<std::string> openai_key;
  std::string anthropic_base_url = "https://api.anthropic.com";
  std::optional<std::string> anthropic_key;
  std::optional<std::string> api_key;  // none: made on first start and kept in the data folder
  bool require_limits = false;
  std::vector<ImageConfig> images;
  std::string image;          // of a run that names none; empty: the host's programs
  int idle_exit_seconds = 0;  // 0: never
  std::string log_level = "info";
  runs::ConversationRules conversations;
  TreeConfig trees;
  PushConfig push;
  PolicyConfig policy;
  webhooks::GuardRules webhooks;  // where messages may go
  std::string webhooks_ca_file;   // certificates that are believed besides the system's
  policy::QuotaRules quota;       // of runs with waitForQuota
  SpendingConfig spending;
  MachineConfig machine;
  KeepingConfig keeping;
  StoreConfig store;
  BlobConfig blobs;
  ClusterConfig cluster;
  std::vector<McpServerConfig> mcp_servers;
  VaultConfig vault;    // master keys, and keys of workspaces
  EgressConfig egress;  // secrets, and what of private networks runs may reach
  net::ServerOptions http = {.max_connections = default_connections};
};

[[nodiscard]] const FlagSpec& serve_flags();
[[nodiscard]] std::string_view serve_help();

// Errors: invalid, naming the key, where it stands and what is wanted.
[[nodiscard]] base::Result<Config> load_config(const Flags& flags, const Environment& environment, bool root);

// As TOML that load_config would accept, secrets replaced by "[REDACTED]".
[[nodiscard]] std::string print_config(const Config& config);

}  // namespace agentrouter::apps
