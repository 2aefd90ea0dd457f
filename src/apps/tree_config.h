#pragma once
// The settings of what comes into workspaces: [uploads], [trees], [layers] and [git].

#include <map>
#include <string>
#include <vector>

#include "apps/environment.h"
#include "apps/tree_desk.h"
#include "worker/worker.h"

namespace agentrouter::apps {

struct GitSettings {
  std::vector<std::string> http_hosts;
  std::vector<std::string> https_hosts;
  std::vector<std::string> file_roots;
  worker::GitConfig fetching;
};

struct TreeConfig {
  UploadRules uploads;
  workspace::TreeRules trees;
  worker::LayerRules layers;
  GitSettings git;
  // By host: what credentials are made of.
  std::map<std::string, std::pair<std::string, std::string>> logins;
  std::map<std::string, std::pair<std::string, std::string>> ssh_files;  // key and known hosts, as read
};

// "uploads.max_bytes" and the like.
[[nodiscard]] bool is_tree_setting(const std::string& key);

// Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<void> set_tree_value(TreeConfig& config, const std::string& key,
                                                const std::string& text);

// As TOML.
// Of a key whose value is a list, given item by item.
[[nodiscard]] bool is_tree_list(const std::string& key);

// All settings have been read: credentials are joined, and one that lacks its token is an error.
[[nodiscard]] base::Result<void> settle_tree_config(TreeConfig& config, const Environment& environment);

[[nodiscard]] std::string print_tree_config(const TreeConfig& config);

}  // namespace agentrouter::apps
