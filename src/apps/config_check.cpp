#include "apps/config_check.h"

#include <map>
#include <set>
#include <sstream>

#include "apps/egress_config.h"
#include "apps/image_store.h"
#include "apps/policy_files.h"
#include "base/clock.h"
#include "base/id.h"
#include "webhooks/sender.h"

namespace agentrouter::apps {

namespace {

std::map<std::string, std::string> lines_of(const Config& config) {
  std::map<std::string, std::string> lines;
  std::istringstream text(print_config(config));
  std::string section;
  for (std::string line; std::getline(text, line);) {
    const auto equals = line.find(" = ");
    if (line.starts_with('[')) {
      section = line.substr(1, line.find(']') - 1) + ".";
    } else if (equals != std::string::npos && !line.starts_with('#')) {
      lines[section + line.substr(0, equals)] = line.substr(equals + 3);
    }
  }
  return lines;
}

}  // namespace

base::Result<void> check_config(const Config& config, const std::filesystem::path& data) {
  AGENTROUTER_TRY(auto policies, PolicyCatalog::open(config.policy, data));
  AGENTROUTER_TRY(const auto rules, policies.rules_for(""));
  if (rules) {
    if (auto known = check_secrets(*rules, config.egress); !known) return known;
  }
  if (!config.webhooks_ca_file.empty()) {
    webhooks::HttpSender sender(base::system_clock(), config.webhooks_ca_file);
    if (auto read = sender.read_certificates(); !read) return read;
  }
  if (auto ring = vault::Keyring::open(keyring_config(config.vault, data)); !ring) return tl::unexpected(ring.error());
  if (config.blobs.is_s3()) {
    AGENTROUTER_TRY(const auto store, open_s3_blobs(config.blobs, data / "blob_cache"));
    if (auto works = store->check(); !works && works.error().code == base::Code::denied) return works;
  }
  if (config.role == Role::api) return {};
  auto images = ImageStore::open(
      data / "images", config.images, base::system_entropy(),
      {.unused = ImageStore::Unused::keep, .disk_reserve = config.machine.limits.disk_reserve_bytes});
  return images.map([](const ImageStore&) {});
}

std::string changed_keys(const Config& before, const Config& after) {
  const auto old = lines_of(before), fresh = lines_of(after);
  std::set<std::string> keys;
  for (const auto* lines : {&old, &fresh}) {
    const auto& others = lines == &old ? fresh : old;
    for (const auto& [key, value] : *lines) {
      const auto there = others.find(key);
      if (there == others.end() || there->second != value) keys.insert(key);
    }
  }
  if (before.openai_key != after.openai_key) keys.insert("providers.openai.api_key");
  if (before.anthropic_key != after.anthropic_key) keys.insert("providers.anthropic.api_key");
  if (before.store.postgres.url != after.store.postgres.url) keys.insert("store.url");
  if (before.store.postgres.listen_url != after.store.postgres.listen_url) keys.insert("store.listen_url");
  if (before.vault.master_keys != after.vault.master_keys) keys.insert("AGENTROUTER_MASTER_KEY");
  if (before.api_key != after.api_key) keys.insert("AGENTROUTER_API_KEY");
  std::string text;
  for (const auto& key : keys) text += (text.empty() ? "" : ", ") + key;
  return text;
}

}  // namespace agentrouter::apps
