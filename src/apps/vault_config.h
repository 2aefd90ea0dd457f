#pragma once
// The settings of what is sealed: [vault], where master keys come from, and of [providers] what workspaces may bring
// along.

#include <filesystem>
#include <string>
#include <vector>

#include "apps/environment.h"
#include "base/error.h"
#include "vault/keyring.h"

namespace agentrouter::apps {

struct VaultConfig {
  std::string master_keys;       // text of AGENTROUTER_MASTER_KEY; empty: not set
  std::string master_key_file;   // of keys; empty: not set
  std::vector<std::string> kms_command;
  std::vector<std::string> old_kms_command;
  std::chrono::seconds kms_timeout{10};
  std::vector<std::string> environment = {};  // of the key service's program: the server's without its secrets
  bool shared_store = false;                  // several servers have it: no key is made in a data folder
  bool require_workspace_key = false;
  std::vector<std::string> base_urls;  // that keys of workspaces may name
};

// "vault.*", "providers.require_workspace_key", "providers.base_urls".
[[nodiscard]] bool is_vault_setting(const std::string& key);
[[nodiscard]] bool is_vault_list(const std::string& key);
// Of a list each item. Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<void> set_vault_value(VaultConfig& config, const std::string& key, const std::string& text);
// AGENTROUTER_MASTER_KEY, AGENTROUTER_MASTER_KEY_FILE, which stands for vault.master_key_file, and what the key
// service's program gets.
[[nodiscard]] base::Result<void> read_vault_environment(VaultConfig& config, const Environment& environment);

inline constexpr const char* own_master_key_name = "master_key";
// For a server on this data folder.
[[nodiscard]] vault::KeyringConfig keyring_config(const VaultConfig& config, const std::filesystem::path& data);

// As TOML: [vault], and [providers].
[[nodiscard]] std::string print_vault(const VaultConfig& config);
[[nodiscard]] std::string print_workspace_keys(const VaultConfig& config);

}  // namespace agentrouter::apps
