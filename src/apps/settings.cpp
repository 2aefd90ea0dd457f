#include "apps/settings.h"

#include "base/file.h"
#include "base/utf8.h"
#include "workspace/push_order.h"

namespace agentrouter::apps {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr int most_minutes = 525'600;  // a year

Result<void> set_listen(Config& config, const std::string& text) {
  AGENTROUTER_TRY(auto listen, parse_listen("listen", text));
  config.listen_host = std::move(listen.host);
  config.listen_port = listen.port;
  return {};
}

Result<void> set_role(Config& config, const std::string& text) {
  if (text == "all") {
    config.role = Role::all;
  } else if (text == "api") {
    config.role = Role::api;
  } else if (text == "worker") {
    config.role = Role::worker;
  } else {
    return fail(Code::invalid, "role is \"" + text + "\": want all, api or worker", "usage");
  }
  return {};
}

Result<void> set_bool(bool& target, const std::string& name, const std::string& text) {
  if (text != "true" && text != "false")
    return fail(Code::invalid, name + " is \"" + text + "\": want true or false", "usage");
  target = text == "true";
  return {};
}

Result<void> set_int(int& target, const std::string& name, const std::string& text, int most) {
  AGENTROUTER_TRY(const auto number, parse_number(text, name, 0, most));
  target = static_cast<int>(number);
  return {};
}

// `unit` is what the number counts.
Setting quota_time(std::chrono::milliseconds policy::QuotaRules::* member, const std::string& name,
                   std::chrono::milliseconds unit, int least) {
  return {[=](Config& config, const std::string& text) -> Result<void> {
    AGENTROUTER_TRY(const auto number, parse_number(text, "quota." + name, least, 1'000'000));
    config.quota.*member = number * unit;
    return {};
  }};
}

Setting http_timeout(std::chrono::milliseconds net::ServerOptions::* member, const std::string& name) {
  return {[member, name](Config& config, const std::string& text) -> Result<void> {
    AGENTROUTER_TRY(const auto number, parse_number(text, "http." + name, 1, 86'400'000));
    config.http.*member = std::chrono::milliseconds(number);
    return {};
  }};
}

Result<void> set_author_part(std::string& target, const std::string& name, const std::string& text) {
  if (!workspace::is_author_part(text)) {
    return fail(
        Code::invalid,
        name + " is \"" + text + "\": want text without < and >, and more than blanks and punctuation",
        "usage");
  }
  target = text;
  return {};
}

Result<void> add_webhook_host(std::vector<std::string>& hosts, const std::string& text) {
  const auto authority = net::parse_authority(text);
  if (!authority)
    return fail(Code::invalid, "webhooks.allow_hosts holds \"" + text + "\": want \"host\" or \"host:port\"",
                "usage");
  hosts.push_back(text);
  return {};
}

Setting text_setting(std::string Config::* member) {
  return {[member](Config& config, const std::string& text) -> Result<void> {
    config.*member = text;
    return {};
  }};
}

}  // namespace

const std::map<std::string, Setting>& settings() {
  static const std::map<std::string, Setting> all{
      {"listen", {set_listen}},
      {"data", text_setting(&Config::data)},
      {"agents_dir", text_setting(&Config::agents_dir)},
      {"role", {set_role}},
      {"record", text_setting(&Config::record_dir)},
      {"replay", text_setting(&Config::replay_dir)},
      {"provider", {[](Config& config, const std::string& text) -> Result<void> {
         if (text != "sim" && text != "upstream")
           return fail(Code::invalid, "provider is \"" + text + "\": want sim or upstream", "usage");
         config.sim = text == "sim";
         return {};
       }}},
      {"concurrency",
       {[](Config& c, const std::string& t) { return set_int(c.concurrency, "concurrency", t, 10'000); }}},
      {"max_attempts", {[](Config& config, const std::string& text) -> Result<void> {
         AGENTROUTER_TRY(const auto number, parse_number(text, "max_attempts", 1, 100));
         config.max_attempts = static_cast<int>(number);
         return {};
       }}},
      {"idle_exit_seconds", {[](Config& c, const std::string& t) {
         return set_int(c.idle_exit_seconds, "idle_exit_seconds", t, 1'000'000);
       }}},
      {"log_level", {[](Config& config, const std::string& text) -> Result<void> {
         if (text != "debug" && text != "info" && text != "warn" && text != "error") {
           return fail(Code::invalid, "log_level is \"" + text + "\": want debug, info, warn or error",
                       "usage");
         }
         config.log_level = text;
         return {};
       }}},
      {"workspace_roots", {[](Config& config, const std::string& text) -> Result<void> {
         if (text.empty() || text.front() != '/')
           return fail(Code::invalid, "workspace_roots holds \"" + text + "\": want absolute paths", "usage");
         config.workspace_roots.push_back(text);
         return {};
       }}},
      {"runtimes.codex.model", text_setting(&Config::codex_model)},
      {"runtimes.claude_code.model", text_setting(&Config::claude_model)},
      {"providers.anthropic.base_url", text_setting(&Config::anthropic_base_url)},
      {"providers.anthropic.api_key_file", {[](Config& config, const std::string& path) -> Result<void> {
         AGENTROUTER_TRY(const auto text, base::read_file(path, 64 * 1024));
         config.anthropic_key = std::string(base::trim_js(text));
         return {};
       }}},
      {"providers.openai.base_url", text_setting(&Config::openai_base_url)},
      {"providers.openai.api_key_file", {[](Config& config, const std::string& path) -> Result<void> {
         AGENTROUTER_TRY(const auto text, base::read_file(path, 64 * 1024));
         config.openai_key = std::string(base::trim_js(text));
         return {};
       }}},
      {"conversations.one_shot_grace_minutes", {[](Config& c, const std::string& t) {
         return set_minutes(c.conversations.one_shot_grace, "conversations.one_shot_grace_minutes", t);
       }}},
      {"conversations.idle_ttl_minutes", {[](Config& c, const std::string& t) {
         return set_minutes(c.conversations.idle_ttl, "conversations.idle_ttl_minutes", t);
       }}},
      {"quota.first_wait_seconds",
       quota_time(&policy::QuotaRules::first, "first_wait_seconds", std::chrono::seconds(1), 1)},
      {"quota.longest_wait_seconds",
       quota_time(&policy::QuotaRules::longest, "longest_wait_seconds", std::chrono::seconds(1), 1)},
      {"quota.max_wait_minutes",
       quota_time(&policy::QuotaRules::most, "max_wait_minutes", std::chrono::minutes(1), 0)},
      {"compat.published_turn2", {[](Config& c, const std::string& t) {
         return set_bool(c.conversations.published_turn2, "compat.published_turn2", t);
       }}},
      {"http.max_connections", {[](Config& config, const std::string& text) -> Result<void> {
         AGENTROUTER_TRY(const auto number, parse_number(text, "http.max_connections", 1, 1'000'000));
         config.http.max_connections = static_cast<std::size_t>(number);
         return {};
       }}},
      {"http.head_timeout_ms", http_timeout(&net::ServerOptions::head_timeout, "head_timeout_ms")},
      {"http.body_timeout_ms", http_timeout(&net::ServerOptions::body_timeout, "body_timeout_ms")},
      {"http.idle_timeout_ms", http_timeout(&net::ServerOptions::idle_timeout, "idle_timeout_ms")},
      {"http.write_timeout_ms", http_timeout(&net::ServerOptions::write_timeout, "write_timeout_ms")},
      {"push.allow", {[](Config& config, const std::string& text) -> Result<void> {
         AGENTROUTER_TRY(auto rule, parse_push_rule(text));
         config.push.allow.push_back(std::move(rule));
         return {};
       }}},
      {"push.credentials", {[](Config& config, const std::string& text) -> Result<void> {
         AGENTROUTER_TRY(auto credential, parse_push_credential(text));
         config.push.credentials.push_back(std::move(credential));
         return {};
       }}},
      {"push.author_name", {[](Config& config, const std::string& text) -> Result<void> {
         return set_author_part(config.push.author_name, "push.author_name", text);
       }}},
      {"push.author_email", {[](Config& config, const std::string& text) -> Result<void> {
         return set_author_part(config.push.author_email, "push.author_email", text);
       }}},
      {"push.timeout_seconds", {[](Config& config, const std::string& text) -> Result<void> {
         AGENTROUTER_TRY(const auto number, parse_number(text, "push.timeout_seconds", 1, 540));
         config.push.timeout = std::chrono::seconds(number);
         return {};
       }}},
      {"policy.dir", {[](Config& c, const std::string& t) {
         c.policy.dir = t;
         return Result<void>{};
       }}},
      {"policy.default", {[](Config& c, const std::string& t) {
         c.policy.fallback = t;
         return Result<void>{};
       }}},
      {"policy.callers", {[](Config& c, const std::string& t) {
         if (!c.policy.callers) c.policy.callers.emplace();
         c.policy.callers->push_back(t);
         return Result<void>{};
       }}},
      {"webhooks.allow_hosts",
       {[](Config& c, const std::string& t) { return add_webhook_host(c.webhooks.allow_hosts, t); }}},
      {"webhooks.ca_file", text_setting(&Config::webhooks_ca_file)},
      {"sandbox.image", text_setting(&Config::image)},
      {"sandbox.require_limits", {[](Config& c, const std::string& t) {
         return set_bool(c.require_limits, "sandbox.require_limits", t);
       }}},
  };
  return all;
}

bool is_list(const std::string& key) {
  return key == "workspace_roots" || is_tree_list(key) || key == "push.allow" || key == "push.credentials" ||
         key == "policy.callers" || key == "webhooks.allow_hosts" || is_egress_list(key) || is_vault_list(key);
}

Result<ListenText> parse_listen(const std::string& name, const std::string& text) {
  const auto wanted = [&] {
    return fail(Code::invalid, name + " is \"" + text + "\": want HOST:PORT, or [ADDRESS]:PORT of IPv6",
                "usage");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return wanted();
  std::string host = text.substr(0, colon);
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  // Without brackets nobody knows where the address ends.
  if (host.empty() || brackets != (host.find(':') != std::string::npos)) return wanted();
  AGENTROUTER_TRY(const auto port, parse_number(text.substr(colon + 1), "the port of " + name, 0, 65535));
  return ListenText{std::move(host), static_cast<std::uint16_t>(port)};
}

Result<void> set_minutes(std::chrono::milliseconds& target, const std::string& name,
                         const std::string& text) {
  AGENTROUTER_TRY(const auto number, parse_number(text, name, 0, most_minutes));
  target = std::chrono::minutes(number);
  return {};
}

}  // namespace agentrouter::apps
