#include <toml++/toml.h>

#include <sstream>

#include "apps/config.h"
#include "net/listener.h"

namespace agentrouter::apps {
namespace {

std::int64_t minutes(std::chrono::milliseconds duration) {
  return std::chrono::duration_cast<std::chrono::minutes>(duration).count();
}

std::int64_t seconds(std::chrono::milliseconds duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

std::string quoted(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

std::string push_rules(const PushConfig& config) {
  std::string text;
  for (const auto& rule : config.allow)
    text += (text.empty() ? "" : ", ") + quoted(rule.url + " " + rule.branch);
  return text;
}

std::string print_webhooks(const Config& config) {
  std::string hosts;
  for (const auto& host : config.webhooks.allow_hosts) hosts += (hosts.empty() ? "" : ", ") + quoted(host);
  return "\n[webhooks]\nallow_hosts = [" + hosts + "]\nca_file = " + quoted(config.webhooks_ca_file) + "\n";
}

}  // namespace

std::string print_config(const Config& config) {
  static constexpr std::string_view roles[] = {"all", "api", "worker"};
  std::ostringstream out;
  out << "listen = " << quoted(net::ListenerAddress{config.listen_host, config.listen_port}.name()) << "\n"
      << "data = " << quoted(config.data) << "\n"
      << "agents_dir = " << quoted(config.agents_dir) << "\n"
      << "role = " << quoted(std::string(roles[static_cast<int>(config.role)])) << "\n"
      << "record = " << quoted(config.record_dir) << "\n"
      << "replay = " << quoted(config.replay_dir) << "\n"
      << "provider = " << quoted(config.sim ? "sim" : "upstream") << "\n"
      << "concurrency = " << config.concurrency << "\n"
      << "max_attempts = " << config.max_attempts << "\n"
      << "idle_exit_seconds = " << config.idle_exit_seconds << "\n"
      << "log_level = " << quoted(config.log_level) << "\n"
      << "workspace_roots = [";
  for (std::size_t i = 0; i < config.workspace_roots.size(); ++i)
    out << (i ? ", " : "") << quoted(config.workspace_roots[i]);
  out << "]\n\n[runtimes.codex]\nmodel = " << quoted(config.codex_model) << "\n"
      << "\n[runtimes.claude_code]\nmodel = " << quoted(config.claude_model) << "\n"
      << "\n[providers.openai]\nbase_url = " << quoted(config.openai_base_url) << "\n"
      << "# api_key: " << (config.openai_key ? "[REDACTED]" : "not set") << "\n"
      << "\n[providers.anthropic]\nbase_url = " << quoted(config.anthropic_base_url) << "\n"
      << "# api_key: " << (config.anthropic_key ? "[REDACTED]" : "not set") << "\n"
      << print_workspace_keys(config.vault) << "\n[conversations]\none_shot_grace_minutes = " << minutes(config.conversations.one_shot_grace)
      << "\nidle_ttl_minutes = " << minutes(config.conversations.idle_ttl) << "\n"
      << "\n[compat]\npublished_turn2 = " << (config.conversations.published_turn2 ? "true" : "false") << "\n"
      << "\n[quota]\nfirst_wait_seconds = " << seconds(config.quota.first)
      << "\nlongest_wait_seconds = " << seconds(config.quota.longest)
      << "\nmax_wait_minutes = " << minutes(config.quota.most) << "\n"
      << "\n[http]\nmax_connections = " << config.http.max_connections << "\n"
      << "head_timeout_ms = " << config.http.head_timeout.count() << "\n"
      << "body_timeout_ms = " << config.http.body_timeout.count() << "\n"
      << "idle_timeout_ms = " << config.http.idle_timeout.count() << "\n"
      << "write_timeout_ms = " << config.http.write_timeout.count() << "\n"
      << print_tree_config(config.trees) << "\n[push]\nallow = [" << push_rules(config.push) << "]\n"
      << "credentials = [" << (config.push.credentials.empty() ? "" : "\"[REDACTED]\"") << "]\n"
      << "author_name = " << quoted(config.push.author_name) << "\n"
      << "author_email = " << quoted(config.push.author_email) << "\n"
      << "timeout_seconds = " << config.push.timeout.count() << "\n"
      << print_vault(config.vault) << print_policy_config(config.policy) << print_webhooks(config) << print_spending(config.spending)
      << "\n[sandbox]\nrequire_limits = " << (config.require_limits ? "true" : "false") << "\n"
      << (config.image.empty() ? "" : "image = " + quoted(config.image) + "\n") << print_machine(config.machine)
      << print_keeping(config.keeping) << print_store(config.store) << print_blobs(config.blobs)
      << print_cluster(config.cluster)
      << print_images(config.images) << print_egress(config.egress) << print_mcp(config.mcp_servers)
      << "\n# AGENTROUTER_API_KEY: " << (config.api_key ? "[REDACTED]" : "kept in the data folder") << "\n";
  return out.str();
}

}  // namespace agentrouter::apps
