#include "apps/egress_config.h"

#include <sodium.h>
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include "apps/mcp_config.h"
#include "base/file.h"
#include "base/utf8.h"
#include "egress/secret.h"
#include "net/http.h"
#include "net/stream.h"
#include "policy/egress_rules.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::fail;
using base::Result;
using Written = EgressConfig::Written;

constexpr std::string_view secrets_prefix = "secrets.";
constexpr std::string_view value_mark = "{value}";
constexpr std::size_t private_hosts_at_most = 256;
constexpr std::size_t ca_file_bytes = 1u << 20;

bool is_secret_name(std::string_view name) {
  return policy::is_policy_name(name);
}

Written& secret_called(EgressConfig& config, const std::string& name) {
  const auto found = std::ranges::find(config.written, name, &Written::name);
  if (found != config.written.end()) return *found;
  return config.written.emplace_back(Written{.name = name, .host = {}});
}

Result<std::string> value_of_file(const std::string& path) {
  AGENTROUTER_TRY(const auto text, base::read_file(path, 64 * 1024));
  return std::string(base::trim_js(text));
}

Result<void> take_secret_key(Written& secret, const std::string& key, const EgressSetting& setting) {
  const auto text = setting.values.empty() ? std::string() : setting.values.front();
  if (key == "host") {
    secret.host = text;
  } else if (key == "methods") {
    secret.methods = setting.values;
  } else if (key == "paths") {
    secret.paths = setting.values;
  } else if (key == "header") {
    secret.header = text;
  } else if (key == "format") {
    secret.format = text;
  } else if (key == "user") {
    secret.user = text;
  } else if (key == "value_env") {
    secret.value_env = text;
  } else if (key == "value_file") {
    AGENTROUTER_TRY(secret.value, value_of_file(text));
  } else {
    return fail(Code::invalid,
                "unknown key \"" + key +
                    "\" of a secret: want value_file or value_env, host, methods, paths, header, format, user",
                "usage");
  }
  return {};
}

tl::unexpected<base::Error> wrong_secret(const Written& secret, const std::string& what) {
  return fail(Code::invalid, "secrets." + secret.name + ": " + what, "usage");
}

std::string base64_of(const std::string& text) {
  std::string encoded(sodium_base64_encoded_len(text.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(encoded.data(), encoded.size(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  encoded.resize(encoded.size() - 1);
  return encoded;
}

Result<void> check_binding(const Written& secret) {
  const auto authority = net::parse_authority(secret.host);
  const auto host = authority ? policy::egress_host(authority->host) : std::nullopt;
  if (!host) return wrong_secret(secret, "host: want the one host that it is for, \"api.github.com\" or \"host:8443\"");
  for (const auto& method : secret.methods) {
    const bool plain = !method.empty() && std::ranges::all_of(method, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!plain) return wrong_secret(secret, "methods: want names like \"GET\"");
  }
  for (const auto& path : secret.paths) {
    if (!path.starts_with('/')) return wrong_secret(secret, "paths: want patterns like \"/repos/team/**\"");
  }
  if (!is_settable_header(secret.header)) return wrong_secret(secret, "header: \"" + secret.header + "\" is none that can be set");
  return {};
}

// The whole field value, and what of it is secret where that is written otherwise there.
Result<std::pair<std::string, std::string>> field_of(const Written& secret) {
  if (secret.value.empty()) return wrong_secret(secret, "it has no value: want value_file, or value_env with a variable that is set");
  if (!secret.user.empty()) {
    if (!secret.format.empty()) return wrong_secret(secret, "user and format do not go together");
    if (secret.user.find(':') != std::string::npos) return wrong_secret(secret, "user: want a name without a colon");
    return std::pair("Basic " + base64_of(secret.user + ":" + secret.value), secret.value);
  }
  auto field = secret.format;
  if (field.empty()) field = net::iequals(secret.header, "authorization") ? "Bearer {value}" : "{value}";
  const auto at = field.find(value_mark);
  if (at == std::string::npos || field.find(value_mark, at + 1) != std::string::npos)
    return wrong_secret(secret, "format: want {value} in it, once");
  field.replace(at, value_mark.size(), secret.value);
  const bool last_word = field.substr(field.rfind(' ') + 1) == secret.value;
  return std::pair(field, last_word ? std::string() : secret.value);
}

Result<keeper::SecretPlan> plan_of(Written& secret, const Environment& environment) {
  if (!secret.value_env.empty()) {
    if (!secret.value.empty()) return wrong_secret(secret, "value_file and value_env do not go together");
    secret.value = environment.get(secret.value_env).value_or("");
  }
  if (secret.header.empty()) secret.header = "authorization";
  if (auto done = check_binding(secret); !done) return tl::unexpected(done.error());
  AGENTROUTER_TRY(auto field, field_of(secret));
  for (const auto& text : {field.first, secret.value}) {
    if (const auto usable = egress::Secret::create_field(text); !usable)
      return wrong_secret(secret, "its value: " + usable.error().message);
  }
  return keeper::SecretPlan{.name = secret.name,
                            .host = secret.host,
                            .methods = secret.methods,
                            .paths = secret.paths,
                            .header = secret.header,
                            .field = std::move(field.first),
                            .plain = std::move(field.second)};
}

Result<void> check_private_host(const std::string& text) {
  const auto authority = net::parse_authority(text);
  if (authority && policy::egress_host(authority->host)) return {};
  return fail(Code::invalid, "egress.private_hosts holds \"" + text + "\": want \"host\" or \"host:port\"", "usage");
}

std::string quoted_toml(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

std::string list_toml(const std::vector<std::string>& texts) {
  std::string list;
  for (const auto& text : texts) list += (list.empty() ? "" : ", ") + quoted_toml(text);
  return "[" + list + "]";
}

}  // namespace

bool is_egress_setting(std::string_view key) {
  return key.starts_with(secrets_prefix) || key == "egress.private_hosts" || key == "egress.ca_file";
}

bool is_egress_list(std::string_view key) {
  return key == "egress.private_hosts" ||
         (key.starts_with(secrets_prefix) && (key.ends_with(".methods") || key.ends_with(".paths")));
}

Result<void> set_egress(EgressConfig& config, const EgressSetting& setting) {
  if (setting.key == "egress.ca_file") {
    config.ca_file = setting.values.empty() ? "" : setting.values.front();
    return {};
  }
  if (setting.key == "egress.private_hosts") {
    for (const auto& host : setting.values) {
      if (auto done = check_private_host(host); !done) return tl::unexpected(done.error());
    }
    config.private_hosts = setting.values;
    if (config.private_hosts.size() > private_hosts_at_most)
      return fail(Code::invalid, "egress.private_hosts: want at most 256", "usage");
    return {};
  }
  const auto rest = setting.key.substr(secrets_prefix.size());
  const auto dot = rest.find('.');
  const auto name = rest.substr(0, dot);
  if (dot == std::string::npos || !is_secret_name(name))
    return fail(Code::invalid, "\"" + name + "\" is no name of a secret: want [secrets.NAME] with 1 to 64 of a-z 0-9 - _", "usage");
  auto& secret = secret_called(config, name);
  if (config.written.size() > keeper::EgressPlan::max_secrets)
    return fail(Code::invalid, "want at most " + std::to_string(keeper::EgressPlan::max_secrets) + " secrets", "usage");
  return take_secret_key(secret, rest.substr(dot + 1), setting);
}

Result<void> finish_egress(EgressConfig& config, const Environment& environment) {
  config.plan = {};
  for (auto& secret : config.written) {
    AGENTROUTER_TRY(auto plan, plan_of(secret, environment));
    config.plan.secrets.push_back(std::move(plan));
  }
  config.plan.private_hosts = config.private_hosts;
  if (config.ca_file.empty()) return {};
  auto text = base::read_file(config.ca_file, ca_file_bytes);
  if (!text) return fail(Code::invalid, "egress.ca_file: " + text.error().message, "usage");
  if (text->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
    return fail(Code::invalid, "egress.ca_file: " + config.ca_file + " holds no certificate: want PEM", "usage");
  if (const auto usable = net::TlsContext::create({.ca_pem = *text}); !usable)
    return fail(Code::invalid, "egress.ca_file: " + config.ca_file + ": " + usable.error().message, "usage");
  config.plan.ca_certificates = std::move(*text);
  return {};
}

std::string print_egress(const EgressConfig& config) {
  std::string out = "\n[egress]\nprivate_hosts = " + list_toml(config.private_hosts) +
                    "\nca_file = " + quoted_toml(config.ca_file) + "\n";
  for (const auto& secret : config.written) {
    out += "\n[secrets." + secret.name + "]\nhost = " + quoted_toml(secret.host) + "\n";
    if (!secret.methods.empty()) out += "methods = " + list_toml(secret.methods) + "\n";
    if (!secret.paths.empty()) out += "paths = " + list_toml(secret.paths) + "\n";
    out += "header = " + quoted_toml(secret.header) + "\n";
    if (!secret.format.empty()) out += "format = " + quoted_toml(secret.format) + "\n";
    if (!secret.user.empty()) out += "user = " + quoted_toml(secret.user) + "\n";
    out += "# value: [REDACTED]\n";
  }
  return out;
}

Result<void> check_secrets(const policy::Rules& rules, const EgressConfig& config) {
  auto planned = keeper::plan_for(rules, config.plan);
  if (planned) return {};
  planned.error().code = Code::invalid;
  return tl::unexpected(planned.error());
}

}  // namespace agentrouter::apps
