#include "apps/vault_config.h"

#include <toml++/toml.h>

#include <charconv>
#include <set>
#include <sstream>

#include "net/url.h"

namespace agentrouter::apps {

namespace {

using base::Code;

// What no program that the server starts is to have.
const std::set<std::string>& own_secrets() {
  static const std::set<std::string> names{"AGENTROUTER_MASTER_KEY",
                                           "AGENTROUTER_API_KEY",
                                           "AGENTROUTER_STORE_URL",
                                           "OPENAI_API_KEY",
                                           "CODEX_API_KEY",
                                           "ANTHROPIC_API_KEY",
                                           "LISTEN_PID",
                                           "LISTEN_FDS",
                                           "LISTEN_FDNAMES",
                                           "AGENTROUTER_STORE_LISTEN_URL",
                                           "NOTIFY_SOCKET",
                                           "WATCHDOG_PID",
                                           "WATCHDOG_USEC"};
  return names;
}

std::string quoted_text(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

std::string quoted_list(const std::vector<std::string>& all) {
  std::string text;
  for (const auto& one : all) text += (text.empty() ? "" : ", ") + quoted_text(one);
  return "[" + text + "]";
}

base::Result<void> add_base_url(std::vector<std::string>& urls, std::string text) {
  while (text.ends_with('/')) text.pop_back();
  if (const auto url = net::parse_url(text); !url)
    return base::fail(Code::invalid, "providers.base_urls holds \"" + text + "\": want https://HOST/PATH",
                      "usage");
  urls.push_back(std::move(text));
  return {};
}

base::Result<void> set_kms_timeout(VaultConfig& config, const std::string& text) {
  int value = 0;
  const auto* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || value < 1 || value > 120)
    return base::fail(Code::invalid,
                      "vault.kms_timeout_seconds is \"" + text + "\": want a whole number from 1 to 120",
                      "usage");
  config.kms_timeout = std::chrono::seconds(value);
  return {};
}

}  // namespace

bool is_vault_setting(const std::string& key) {
  return key.starts_with("vault.") || key == "providers.require_workspace_key" ||
         key == "providers.base_urls";
}

bool is_vault_list(const std::string& key) {
  return key == "vault.kms_command" || key == "vault.old_kms_command" || key == "providers.base_urls";
}

base::Result<void> set_vault_value(VaultConfig& config, const std::string& key, const std::string& text) {
  if (key == "vault.master_key_file") {
    if (text.empty() || text.front() != '/')
      return base::fail(Code::invalid, "vault.master_key_file is \"" + text + "\": want an absolute path",
                        "usage");
    config.master_key_file = text;
  } else if (key == "vault.kms_command") {
    config.kms_command.push_back(text);
  } else if (key == "vault.old_kms_command") {
    config.old_kms_command.push_back(text);
  } else if (key == "vault.kms_timeout_seconds") {
    return set_kms_timeout(config, text);
  } else if (key == "providers.require_workspace_key") {
    if (text != "true" && text != "false")
      return base::fail(Code::invalid, key + " is \"" + text + "\": want true or false", "usage");
    config.require_workspace_key = text == "true";
  } else if (key == "providers.base_urls") {
    return add_base_url(config.base_urls, text);
  } else {
    return base::fail(Code::invalid, "unknown key \"" + key + "\": docs/operating.md lists all keys",
                      "usage");
  }
  return {};
}

base::Result<void> read_vault_environment(VaultConfig& config, const Environment& environment) {
  if (const auto file = environment.get("AGENTROUTER_MASTER_KEY_FILE")) {
    if (auto set = set_vault_value(config, "vault.master_key_file", *file); !set)
      return base::fail(Code::invalid, "AGENTROUTER_MASTER_KEY_FILE: want an absolute path", "usage");
  }
  config.master_keys = environment.get("AGENTROUTER_MASTER_KEY").value_or("");
  if (!config.master_keys.empty()) {
    config.master_key_file.clear();  // the environment counts more than the file of settings
    if (environment.get("AGENTROUTER_MASTER_KEY_FILE"))
      return base::fail(Code::invalid, "AGENTROUTER_MASTER_KEY and AGENTROUTER_MASTER_KEY_FILE are both set",
                        "usage");
  }
  config.environment = environment.without(own_secrets());
  return {};
}

vault::KeyringConfig keyring_config(const VaultConfig& config, const std::filesystem::path& data) {
  vault::KeyringConfig made{.keys = config.master_keys,
                            .keys_from = "AGENTROUTER_MASTER_KEY",
                            .file = config.master_key_file,
                            .own = {},
                            .kms = {},
                            .old_kms = {}};
  if (!config.shared_store) made.own = data / own_master_key_name;
  if (!config.kms_command.empty())
    made.kms = vault::KmsConfig{config.kms_command, config.environment, config.kms_timeout};
  if (!config.old_kms_command.empty())
    made.old_kms = vault::KmsConfig{config.old_kms_command, config.environment, config.kms_timeout};
  return made;
}

std::string print_vault(const VaultConfig& config) {
  std::string text = "\n[vault]\n";
  if (!config.master_key_file.empty())
    text += "master_key_file = " + quoted_text(config.master_key_file) + "\n";
  if (!config.kms_command.empty()) text += "kms_command = " + quoted_list(config.kms_command) + "\n";
  if (!config.old_kms_command.empty())
    text += "old_kms_command = " + quoted_list(config.old_kms_command) + "\n";
  text += "kms_timeout_seconds = " + std::to_string(config.kms_timeout.count()) + "\n";
  if (!config.master_keys.empty()) text += "# AGENTROUTER_MASTER_KEY: [REDACTED]\n";
  return text;
}

std::string print_workspace_keys(const VaultConfig& config) {
  return std::string("\n[providers]\nrequire_workspace_key = ") +
         (config.require_workspace_key ? "true" : "false") +
         "\nbase_urls = " + quoted_list(config.base_urls) + "\n";
}

}  // namespace agentrouter::apps
