#include "apps/tree_config.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <functional>
#include <sstream>

#include "apps/flags.h"
#include "base/file.h"
#include "base/utf8.h"
#include "egress/ssh_gate.h"

namespace agentrouter::apps {

namespace {

using base::Result;

constexpr long long tree_bytes_at_most = 1ll << 50;
constexpr long long most_depth = 512;
constexpr long long most_path = 4095;

struct Number {
  const char* key;
  long long most;
  std::uint64_t (*get)(const TreeConfig& config);
  void (*set)(TreeConfig& config, std::uint64_t value);
};

constexpr std::array<Number, 12> numbers{{
    {"uploads.max_bytes", tree_bytes_at_most, [](const TreeConfig& c) { return c.uploads.max_bytes; },
     [](TreeConfig& c, std::uint64_t v) { c.uploads.max_bytes = v; }},
    {"uploads.keep_minutes", 525'600,
     [](const TreeConfig& c) {
       return static_cast<std::uint64_t>(
           std::chrono::duration_cast<std::chrono::minutes>(c.uploads.keep).count());
     },
     [](TreeConfig& c, std::uint64_t v) { c.uploads.keep = std::chrono::minutes(v); }},
    {"uploads.max_entries", 10'000'000, [](const TreeConfig& c) { return c.uploads.unpack.entries; },
     [](TreeConfig& c, std::uint64_t v) { c.uploads.unpack.entries = v; }},
    {"uploads.max_unpacked_bytes", tree_bytes_at_most,
     [](const TreeConfig& c) { return c.uploads.unpack.bytes; },
     [](TreeConfig& c, std::uint64_t v) { c.uploads.unpack.bytes = v; }},
    {"uploads.max_ratio", 1'000'000, [](const TreeConfig& c) { return c.uploads.unpack.ratio; },
     [](TreeConfig& c, std::uint64_t v) { c.uploads.unpack.ratio = v; }},
    {"uploads.max_depth", most_depth,
     [](const TreeConfig& c) { return std::uint64_t{c.uploads.unpack.depth}; },
     [](TreeConfig& c, std::uint64_t v) { c.uploads.unpack.depth = static_cast<unsigned>(v); }},
    {"uploads.max_path_bytes", most_path,
     [](const TreeConfig& c) { return std::uint64_t{c.uploads.unpack.path_bytes}; },
     [](TreeConfig& c, std::uint64_t v) { c.uploads.unpack.path_bytes = v; }},
    {"trees.max_bytes", tree_bytes_at_most, [](const TreeConfig& c) { return c.trees.max_bytes; },
     [](TreeConfig& c, std::uint64_t v) { c.trees.max_bytes = v; }},
    {"layers.max_bytes", tree_bytes_at_most, [](const TreeConfig& c) { return c.layers.max_bytes; },
     [](TreeConfig& c, std::uint64_t v) { c.layers.max_bytes = v; }},
    {"git.max_bytes", tree_bytes_at_most, [](const TreeConfig& c) { return c.git.fetching.max_bytes; },
     [](TreeConfig& c, std::uint64_t v) { c.git.fetching.max_bytes = v; }},
    {"git.max_entries", 10'000'000, [](const TreeConfig& c) { return c.git.fetching.max_entries; },
     [](TreeConfig& c, std::uint64_t v) { c.git.fetching.max_entries = v; }},
    {"git.timeout_seconds", 86'400,
     [](const TreeConfig& c) {
       return static_cast<std::uint64_t>(
           std::chrono::duration_cast<std::chrono::seconds>(c.git.fetching.timeout).count());
     },
     [](TreeConfig& c, std::uint64_t v) { c.git.fetching.timeout = std::chrono::seconds(v); }},
}};

constexpr std::string_view credential_prefix = "git.credentials.";
constexpr std::string_view ssh_prefix = "git.ssh.";

std::vector<std::string>* find_list(TreeConfig& config, const std::string& key) {
  if (key == "git.http_hosts") return &config.git.http_hosts;
  if (key == "git.https_hosts") return &config.git.https_hosts;
  return key == "git.file_roots" ? &config.git.file_roots : nullptr;
}

// "<prefix>example.org:8443.username" as host and field; empty for anything else.
std::pair<std::string, std::string> host_and_field(const std::string& key, std::string_view prefix,
                                                   std::initializer_list<std::string_view> fields) {
  const auto dot = key.rfind('.');
  if (!key.starts_with(prefix) || dot <= prefix.size()) return {};
  const auto field = key.substr(dot + 1);
  if (std::find(fields.begin(), fields.end(), field) == fields.end()) return {};
  return {key.substr(prefix.size(), dot - prefix.size()), field};
}

std::pair<std::string, std::string> credential_of(const std::string& key) {
  return host_and_field(key, credential_prefix, {"username", "token_file", "token_env"});
}

std::pair<std::string, std::string> ssh_of(const std::string& key) {
  return host_and_field(key, ssh_prefix, {"key_file", "known_hosts_file"});
}

Result<void> set_ssh(TreeConfig& config, const std::string& key, const std::string& text) {
  const auto [host, field] = ssh_of(key);
  AGENTROUTER_TRY(auto content, base::read_file(text, 256 * 1024));
  auto& [private_key, known_hosts] = config.ssh_files[host];
  (field == "key_file" ? private_key : known_hosts) = std::move(content);
  return {};
}

std::string base64(std::string_view bytes) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the NUL at its end
  return text;
}

Result<void> set_login(TreeConfig& config, const std::string& key, const std::string& text) {
  const auto [host, field] = credential_of(key);
  auto& [username, token] = config.logins[host];
  if (field == "username") {
    if (text.find(':') != std::string::npos)
      return base::fail(base::Code::invalid, key + " holds a colon", "usage");
    username = text;
  } else if (field == "token_env") {
    token = "$" + text;
  } else {
    AGENTROUTER_TRY(const auto content, base::read_file(text, 64 * 1024));
    token = "=" + std::string(base::trim_js(content));
  }
  return {};
}

Result<worker::SshAccess> ssh_access(const std::string& host, const std::string& key,
                                     const std::string& known_hosts) {
  const auto refuse = [&](const std::string& why) {
    return base::fail(base::Code::invalid, "git.ssh.\"" + host + "\" " + why, "usage");
  };
  if (key.empty() || known_hosts.empty()) return refuse("needs key_file and known_hosts_file");
  if (key.find("PRIVATE KEY-----") == std::string::npos)
    return refuse("has a key_file that holds no private key");
  if (egress::known_key_kinds(known_hosts).empty())
    return refuse("has a known_hosts_file without a host key of kind ed25519 or ecdsa");
  if (known_hosts.starts_with('@') || known_hosts.find("\n@") != std::string::npos)
    return refuse(
        "has a known_hosts_file with markers (@cert-authority, @revoked), which are not understood");
  worker::SshAccess access{base64(key), known_hosts};
  if (access.key.size() > egress::Secret::max_bytes)
    return refuse("has a key_file that is too long: use ed25519");
  return access;
}

const Number* find_number(const std::string& key) {
  for (const auto& number : numbers) {
    if (key == number.key) return &number;
  }
  return nullptr;
}

}  // namespace

bool is_tree_setting(const std::string& key) {
  TreeConfig scratch;
  return find_number(key) != nullptr || find_list(scratch, key) != nullptr ||
         !credential_of(key).first.empty() || !ssh_of(key).first.empty();
}

bool is_tree_list(const std::string& key) {
  TreeConfig scratch;
  return find_list(scratch, key) != nullptr;
}

Result<void> set_tree_value(TreeConfig& config, const std::string& key, const std::string& text) {
  if (auto* list = find_list(config, key)) {
    const bool wants_path = key == "git.file_roots";
    if (text.empty() || (wants_path && text.front() != '/')) {
      const std::string wanted = wants_path ? "absolute paths" : "hosts";
      return base::fail(base::Code::invalid, key + " holds \"" + text + "\": want " + wanted, "usage");
    }
    list->push_back(text);
    return {};
  }
  if (!credential_of(key).first.empty()) return set_login(config, key, text);
  if (!ssh_of(key).first.empty()) return set_ssh(config, key, text);
  const auto* number = find_number(key);
  if (number == nullptr) return base::fail(base::Code::invalid, "unknown key \"" + key + "\"", "usage");
  AGENTROUTER_TRY(const auto value, parse_number(text, key, 1, number->most));
  number->set(config, static_cast<std::uint64_t>(value));
  return {};
}

Result<void> settle_tree_config(TreeConfig& config, const Environment& environment) {
  for (const auto& [host, login] : config.logins) {
    const auto& [username, stored] = login;
    std::string token = stored.substr(std::min<std::size_t>(1, stored.size()));
    if (stored.starts_with('$')) token = environment.get(token).value_or("");
    if (username.empty() || token.empty()) {
      return base::fail(base::Code::invalid,
                        "git.credentials.\"" + host +
                            "\" needs a username and a token: set token_file, or token_env and that variable",
                        "usage");
    }
    config.git.fetching.credentials[host] = base64(username + ":" + token);
  }
  for (const auto& [host, files] : config.ssh_files) {
    AGENTROUTER_TRY(config.git.fetching.ssh[host], ssh_access(host, files.first, files.second));
  }
  return {};
}

std::string print_tree_config(const TreeConfig& config) {
  std::ostringstream out;
  std::string table;
  for (const auto& number : numbers) {
    const std::string key = number.key;
    const auto dot = key.find('.');
    if (key.substr(0, dot) != table) {
      table = key.substr(0, dot);
      out << "\n[" << table << "]\n";
    }
    out << key.substr(dot + 1) << " = " << number.get(config) << "\n";
  }
  const auto list = [&](const char* name, const std::vector<std::string>& items) {
    out << name << " = [";
    for (std::size_t i = 0; i < items.size(); ++i) out << (i ? ", " : "") << "\"" << items[i] << "\"";
    out << "]\n";
  };
  list("http_hosts", config.git.http_hosts);
  list("https_hosts", config.git.https_hosts);
  list("file_roots", config.git.file_roots);
  for (const auto& [host, login] : config.logins) {
    out << "\n[git.credentials.\"" << host << "\"]\nusername = \"" << login.first << "\"\n"
        << "# token: [REDACTED]\n";
  }
  for (const auto& [host, files] : config.ssh_files)
    out << "\n[git.ssh.\"" << host << "\"]\n# key: [REDACTED]\n";
  return out.str();
}

}  // namespace agentrouter::apps
