#include "apps/config.h"

#include <toml++/toml.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <map>
#include <sstream>

#include "apps/settings.h"
#include "base/file.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::string_view mcp_prefix = "mcp_servers.";
constexpr std::string_view image_prefix = "images.";

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
  const bool of_keeping = is_keeping_setting(key);
  const bool of_store = is_store_setting(key);
  const bool of_blobs = is_blob_setting(key);
  const bool of_vault = is_vault_setting(key);
  const bool of_cluster = is_cluster_setting(key);
  if (known == settings().end() && !of_trees && !of_spending && !of_egress && !of_machine && !of_keeping &&
      !of_store && !of_blobs && !of_vault && !of_cluster) {
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
                      : of_keeping  ? set_keeping_value(config.keeping, key, value)
                      : of_store    ? set_store_value(config.store, key, value)
                      : of_blobs    ? set_blob_value(config.blobs, key, value)
                      : of_vault    ? set_vault_value(config.vault, key, value)
                      : of_cluster  ? set_cluster_value(config.cluster, key, value)
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

Result<void> apply_image(Config& config, const std::string& file, std::string_view key,
                         const toml::node& node) {
  const auto* text = node.as_string();
  if (text == nullptr)
    return fail(Code::invalid, place(file, node) + ": \"" + std::string(key) + "\" has the wrong type",
                "usage");
  if (auto done = set_image(config.images, key.substr(image_prefix.size()), text->get()); !done)
    return fail(Code::invalid, place(file, node) + ": " + done.error().message, "usage");
  return {};
}

Result<void> apply_table(Config& config, const std::string& file, const std::string& prefix,
                         const toml::table& table) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    auto done = node.is_table()                 ? apply_table(config, file, key + ".", *node.as_table())
                : key.starts_with(mcp_prefix)   ? apply_mcp(config, file, key, node)
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
  return read_vault_environment(config.vault, environment);
}

Result<void> apply_flags(Config& config, const Flags& flags) {
  static const std::map<std::string, std::string> keys{
      {"listen", "listen"},           {"data", "data"},           {"role", "role"},
      {"concurrency", "concurrency"}, {"log-level", "log_level"}, {"idle-exit", "idle_exit_seconds"},
      {"record", "record"},           {"replay", "replay"},       {"workspace-root", "workspace_roots"}};
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
  if (!config.record_dir.empty())
    return refuse("record and replay are both given: a run is either recorded or played");
  if (config.sim)
    return refuse("sim and replay are both given: what is played takes the place of every provider");
  if (::access(config.replay_dir.c_str(), R_OK | X_OK) != 0)
    return refuse("replay is \"" + config.replay_dir + "\", which is no folder that can be read");
  return {};
}

}  // namespace

const FlagSpec& serve_flags() {
  static const FlagSpec spec{.values = {"listen", "data", "config", "role", "concurrency", "workspace-root",
                                        "idle-exit", "log-level", "record", "replay"},
                             .switches = {"sim", "print-config", "help", "drain", "takeover"}};
  return spec;
}

std::string_view serve_help() {
  return "Usage: agentrouter serve [flags]\n"
         "\n"
         "Serves the API and runs agents on this machine.\n"
         "\n"
         "  --listen HOST:PORT     where to listen (default 127.0.0.1:8787; [::1]:8787; port 0 takes a free "
         "one)\n"
         "  --data DIR             database, artifacts and journals\n"
         "  --config FILE          agentrouter.toml (default: DATA/agentrouter.toml when it exists)\n"
         "  --sim                  simulate the model providers: no key and no network needed\n"
         "  --record DIR           keep what each run asks its provider, and the answers, as a cassette in "
         "DIR\n"
         "  --replay DIR           answer runs from their cassettes: no key and no network needed\n"
         "  --role all|api|worker  what this process does (default all)\n"
         "  --concurrency N        runs at the same time (default: from cores and memory)\n"
         "  --workspace-root DIR   a folder under which workspaces may lie; may be repeated\n"
         "  --idle-exit SECONDS    end after so many seconds without a request or a run\n"
         "  --log-level LEVEL      debug, info, warn or error\n"
         "  --drain                on SIGTERM wait for running agents instead of leaving them to the next "
         "server\n"
         "  --takeover             take over from the server that runs on this data folder; no request "
         "fails\n"
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
  if (auto done = settle_store(config.store, environment); !done) return tl::unexpected(done.error());
  config.vault.shared_store = config.store.is_shared();
  if (auto done = settle_tree_config(config.trees, environment); !done) return tl::unexpected(done.error());
  if (auto done = settle_spending(config.spending, config.codex_model, config.claude_model); !done)
    return tl::unexpected(done.error());
  if (config.api_key == "ar_dev_local_change_me") {
    return fail(Code::invalid, "AGENTROUTER_API_KEY is the published example key: choose one of your own",
                "usage");
  }
  if (auto done = settle_blobs(config.blobs, environment); !done) return tl::unexpected(done.error());
  if (auto done = settle_cassettes(config); !done) return tl::unexpected(done.error());
  for (auto* url : {&config.openai_base_url, &config.anthropic_base_url}) {
    while (url->ends_with('/')) url->pop_back();
  }
  return config;
}

}  // namespace agentrouter::apps
