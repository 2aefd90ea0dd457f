#include "apps/config.h"

#include <toml++/toml.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <functional>
#include <map>
#include <sstream>

#include "base/file.h"
#include "base/utf8.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::fail;
using base::Result;

struct Setting {
  std::function<Result<void>(Config&, const std::string&)> set;
  bool secret = false;
};

Result<void> set_listen(Config& config, const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return fail(Code::invalid, "listen is \"" + text + "\": want HOST:PORT", "usage");
  AGENTROUTER_TRY(const auto port, parse_number(text.substr(colon + 1), "the port of listen", 0, 65535));
  config.listen_host = text.substr(0, colon);
  config.listen_port = static_cast<std::uint16_t>(port);
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

constexpr std::string_view mcp_prefix = "mcp_servers.";
constexpr std::string_view image_prefix = "images.";
constexpr int most_minutes = 525'600;  // a year

Result<void> set_minutes(std::chrono::milliseconds& target, const std::string& name,
                         const std::string& text) {
  AGENTROUTER_TRY(const auto number, parse_number(text, name, 0, most_minutes));
  target = std::chrono::minutes(number);
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
  if (text.empty() || text.find_first_of("<>\r\n") != std::string::npos)
    return fail(Code::invalid, name + " is \"" + text + "\": want text without < and >", "usage");
  target = text;
  return {};
}

// Keys whose values are lists.
bool is_list(const std::string& key) {
  return key == "workspace_roots" || is_tree_list(key) || key == "push.allow" || key == "push.credentials" ||
         key == "policy.callers" || key == "webhooks.allow_hosts" || is_egress_list(key);
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

// Every key of agentrouter.toml. A list is given to its setting item by item.
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
      {"webhooks.allow_hosts", {[](Config& c, const std::string& t) {
         return add_webhook_host(c.webhooks.allow_hosts, t);
       }}},
      {"webhooks.ca_file", text_setting(&Config::webhooks_ca_file)},
      {"sandbox.image", text_setting(&Config::image)},
      {"sandbox.require_limits", {[](Config& c, const std::string& t) {
         return set_bool(c.require_limits, "sandbox.require_limits", t);
       }}},
  };
  return all;
}

// Without an exponent.
std::string number_text(double value) {
  std::array<char, 400> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed).ptr;
  return std::string(text.data(), end);
}

std::optional<std::string> scalar_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  return std::nullopt;
}

std::string place(const std::string& file, const toml::node& node) {
  return file + ":" + std::to_string(node.source().begin.line);
}

Result<void> apply_value(Config& config, const std::string& file, const std::string& key,
                         const toml::node& node) {
  const auto known = settings().find(key);
  const bool of_trees = is_tree_setting(key);
  const bool of_spending = is_spending_setting(key);
  const bool of_egress = is_egress_setting(key);
  const bool of_machine = is_machine_setting(key);
  if (known == settings().end() && !of_trees && !of_spending && !of_egress && !of_machine) {
    return fail(Code::invalid,
                place(file, node) + ": unknown key \"" + key + "\": docs/operating.md lists all keys",
                "usage");
  }
  if (key == "policy.callers") config.policy.callers.emplace();  // an empty list is none
  std::vector<std::string> values;
  if (const auto* list = node.as_array(); list && is_list(key)) {
    for (const auto& item : *list) values.push_back(scalar_text(item).value_or(""));
  } else if (const auto* number = node.as_floating_point(); number && of_spending) {
    values.push_back(number_text(number->get()));
  } else if (auto text = scalar_text(node); text && !is_list(key)) {
    values.push_back(*text);
  } else {
    return fail(Code::invalid, place(file, node) + ": \"" + key + "\" has the wrong type", "usage");
  }
  if (of_egress) {
    if (auto done = set_egress(config.egress, {key, values}); !done)
      return fail(Code::invalid, place(file, node) + ": " + done.error().message, "usage");
    return {};
  }
  for (const auto& value : values) {
    const auto done = of_trees      ? set_tree_value(config.trees, key, value)
                      : of_spending ? set_spending_value(config.spending, key, value)
                      : of_machine  ? set_machine_value(config.machine, key, value)
                                    : known->second.set(config, value);
    if (!done) {
      return fail(Code::invalid, place(file, node) + ": " + done.error().message, "usage");
    }
  }
  return {};
}

// `key` is "mcp_servers.NAME.KEY".
Result<void> apply_mcp(Config& config, const std::string& file, std::string_view key,
                       const toml::node& node) {
  key.remove_prefix(mcp_prefix.size());
  const auto dot = key.find('.');
  McpSetting setting{.name = std::string(key.substr(0, dot)),
                     .key = dot == std::string_view::npos ? "" : std::string(key.substr(dot + 1))};
  const bool wants_list = setting.key == "args" || setting.key == "runtimes";
  const auto* list = node.as_array();
  for (std::size_t i = 0; list && i < list->size(); ++i) {
    const auto* text = list->get(i)->as_string();
    setting.values.push_back(text ? text->get() : "");
    if (!text) list = nullptr;
  }
  if (const auto* text = node.as_string()) setting.values.push_back(text->get());
  if (wants_list != (list != nullptr) || (!wants_list && setting.values.empty()))
    return fail(Code::invalid, place(file, node) + ": \"" + setting.key + "\" has the wrong type", "usage");
  if (auto done = set_mcp(config.mcp_servers, setting); !done)
    return fail(Code::invalid, place(file, node) + ": " + done.error().message, "usage");
  return {};
}

Result<void> apply_image(Config& config, const std::string& file, std::string_view key, const toml::node& node) {
  const auto* text = node.as_string();
  if (text == nullptr)
    return fail(Code::invalid, place(file, node) + ": \"" + std::string(key) + "\" has the wrong type", "usage");
  if (auto done = set_image(config.images, key.substr(image_prefix.size()), text->get()); !done)
    return fail(Code::invalid, place(file, node) + ": " + done.error().message, "usage");
  return {};
}

Result<void> apply_table(Config& config, const std::string& file, const std::string& prefix,
                         const toml::table& table) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    auto done = node.is_table()               ? apply_table(config, file, key + ".", *node.as_table())
                : key.starts_with(mcp_prefix) ? apply_mcp(config, file, key, node)
                : key.starts_with(image_prefix) ? apply_image(config, file, key, node)
                                              : apply_value(config, file, key, node);
    if (!done) return done;
  }
  return {};
}

Result<void> apply_file(Config& config, const std::string& path) {
  AGENTROUTER_TRY(const auto text, base::read_file(path, 1 << 20));
  try {
    return apply_table(config, path, "", toml::parse(text, path));
  } catch (const toml::parse_error& error) {
    std::ostringstream where;
    where << path << ":" << error.source().begin.line << ": " << error.description();
    return fail(Code::invalid, where.str(), "usage");
  }
}

Result<void> apply_environment(Config& config, const Environment& environment) {
  if (const auto port = environment.get("AGENTROUTER_PORT")) {
    AGENTROUTER_TRY(const auto number, parse_number(*port, "AGENTROUTER_PORT", 0, 65535));
    config.listen_port = static_cast<std::uint16_t>(number);
  }
  if (auto url = environment.get("OPENAI_BASE_URL")) config.openai_base_url = *url;
  if (auto url = environment.get("ANTHROPIC_BASE_URL")) config.anthropic_base_url = *url;
  for (const auto& [name, member] :
       {std::pair("AGENTROUTER_ONESHOT_GRACE_MINUTES", &runs::ConversationRules::one_shot_grace),
        std::pair("AGENTROUTER_SESSION_IDLE_TTL_MINUTES", &runs::ConversationRules::idle_ttl)}) {
    const auto minutes = environment.get(name);
    if (!minutes) continue;
    if (auto done = set_minutes(config.conversations.*member, name, *minutes); !done) return done;
  }
  if (auto key = environment.secret("OPENAI_API_KEY")) config.openai_key = key;
  if (auto key = environment.secret("CODEX_API_KEY")) config.openai_key = key;
  if (auto key = environment.secret("ANTHROPIC_API_KEY")) config.anthropic_key = key;
  config.api_key = environment.secret("AGENTROUTER_API_KEY");
  return {};
}

Result<void> apply_flags(Config& config, const Flags& flags) {
  static const std::map<std::string, std::string> keys{{"listen", "listen"},
                                                       {"data", "data"},
                                                       {"role", "role"},
                                                       {"concurrency", "concurrency"},
                                                       {"log-level", "log_level"},
                                                       {"idle-exit", "idle_exit_seconds"},
                                                       {"record", "record"},
                                                       {"replay", "replay"},
                                                       {"workspace-root", "workspace_roots"}};
  for (const auto& [flag, key] : keys) {
    for (const auto& value : flags.all(flag)) {
      if (auto done = settings().at(key).set(config, value); !done) return done;
    }
  }
  if (flags.has("sim")) config.sim = true;
  return {};
}

Result<void> settle_cassettes(const Config& config) {
  const auto refuse = [](const std::string& why) { return fail(Code::invalid, why, "usage"); };
  if (config.replay_dir.empty()) return {};
  if (!config.record_dir.empty()) return refuse("record and replay are both given: a run is either recorded or played");
  if (config.sim) return refuse("sim and replay are both given: what is played takes the place of every provider");
  if (::access(config.replay_dir.c_str(), R_OK | X_OK) != 0)
    return refuse("replay is \"" + config.replay_dir + "\", which is no folder that can be read");
  return {};
}

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

}  // namespace

const FlagSpec& serve_flags() {
  static const FlagSpec spec{.values = {"listen", "data", "config", "role", "concurrency", "workspace-root",
                                        "idle-exit", "log-level", "record", "replay"},
                             .switches = {"sim", "print-config", "help", "drain"}};
  return spec;
}

std::string_view serve_help() {
  return "Usage: agentrouter serve [flags]\n"
         "\n"
         "Serves the API and runs agents on this machine.\n"
         "\n"
         "  --listen HOST:PORT     where to listen (default 127.0.0.1:8787; port 0 takes a free one)\n"
         "  --data DIR             database, artifacts and journals\n"
         "  --config FILE          agentrouter.toml (default: DATA/agentrouter.toml when it exists)\n"
         "  --sim                  simulate the model providers: no key and no network needed\n"
         "  --record DIR           keep what each run asks its provider, and the answers, as a cassette in DIR\n"
         "  --replay DIR           answer runs from their cassettes: no key and no network needed\n"
         "  --role all|api|worker  what this process does (default all)\n"
         "  --concurrency N        runs at the same time (default: from cores and memory)\n"
         "  --workspace-root DIR   a folder under which workspaces may lie; may be repeated\n"
         "  --idle-exit SECONDS    end after so many seconds without a request or a run\n"
         "  --log-level LEVEL      debug, info, warn or error\n"
         "  --drain                on SIGTERM wait for running agents instead of leaving them to the next "
         "server\n"
         "  --print-config         show the resulting configuration, secrets redacted, and end\n"
         "\n"
         "Example: OPENAI_API_KEY=... agentrouter serve --workspace-root /srv/repositories\n";
}

Result<Config> load_config(const Flags& flags, const Environment& environment, bool root) {
  Config config;
  const auto paths = default_paths(environment, root);
  config.data = flags.value("data").value_or(paths.data);
  config.agents_dir = paths.agents;
  const auto file = flags.value("config");
  if (file) {
    if (auto done = apply_file(config, *file); !done) return tl::unexpected(done.error());
  } else if (::access((config.data + "/agentrouter.toml").c_str(), F_OK) == 0) {
    if (auto done = apply_file(config, config.data + "/agentrouter.toml"); !done)
      return tl::unexpected(done.error());
  }
  if (auto done = finish_mcp(config.mcp_servers, environment); !done) return tl::unexpected(done.error());
  if (auto done = finish_egress(config.egress, environment); !done) return tl::unexpected(done.error());
  if (auto done = finish_images(config.images, config.image); !done) return tl::unexpected(done.error());
  if (auto done = apply_environment(config, environment); !done) return tl::unexpected(done.error());
  if (auto done = apply_flags(config, flags); !done) return tl::unexpected(done.error());
  if (const auto agents = environment.get("AGENTROUTER_AGENTS_DIR")) config.agents_dir = *agents;
  if (auto done = settle_tree_config(config.trees, environment); !done) return tl::unexpected(done.error());
  if (auto done = settle_spending(config.spending, config.codex_model, config.claude_model); !done)
    return tl::unexpected(done.error());
  if (config.api_key == "ar_dev_local_change_me") {
    return fail(Code::invalid, "AGENTROUTER_API_KEY is the published example key: choose one of your own",
                "usage");
  }
  if (auto done = settle_cassettes(config); !done) return tl::unexpected(done.error());
  for (auto* url : {&config.openai_base_url, &config.anthropic_base_url}) {
    while (url->ends_with('/')) url->pop_back();
  }
  return config;
}

namespace {

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
  out << "listen = " << quoted(config.listen_host + ":" + std::to_string(config.listen_port)) << "\n"
      << "data = " << quoted(config.data) << "\n"
      << "agents_dir = " << quoted(config.agents_dir) << "\n"
      << "role = " << quoted(std::string(roles[static_cast<int>(config.role)])) << "\n"
      << "record = " << quoted(config.record_dir) << "\n"
      << "replay = " << quoted(config.replay_dir) << "\n"
      << "provider = " << quoted(config.sim ? "sim" : "upstream") << "\n"
      << "concurrency = " << config.concurrency << "\n"
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
      << "\n[conversations]\none_shot_grace_minutes = " << minutes(config.conversations.one_shot_grace)
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
      << print_policy_config(config.policy) << print_webhooks(config) << print_spending(config.spending)
      << "\n[sandbox]\nrequire_limits = " << (config.require_limits ? "true" : "false") << "\n"
      << (config.image.empty() ? "" : "image = " + quoted(config.image) + "\n") << print_machine(config.machine)
      << print_images(config.images) << print_egress(config.egress) << print_mcp(config.mcp_servers)
      << "\n# AGENTROUTER_API_KEY: " << (config.api_key ? "[REDACTED]" : "kept in the data folder") << "\n";
  return out.str();
}

}  // namespace agentrouter::apps
