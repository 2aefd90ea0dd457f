// [[egress]] of a policy from its document.

#include <algorithm>
#include <array>
#include <set>

#include "base/ascii.h"
#include "policy/document_values.h"
#include "policy/egress_path.h"
#include "policy/egress_rules.h"

namespace agentrouter::policy {

namespace {

using base::Result;
using std::string_view;

constexpr std::size_t max_egress_rules = 256;
constexpr std::array<string_view, 9> egress_keys{"id",   "host",   "port",    "scheme", "method",
                                                 "path", "secret", "verdict", "reason"};

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         string_view("!#$%&'*+-.^_`|~").find(c) != string_view::npos;
}

Result<std::string> host_pattern_of(const std::string& text, const std::string& where) {
  const auto lower = base::ascii_lower(text);
  if (lower == "*") return lower;
  const auto name = string_view(lower).substr(lower.starts_with("*.") ? 2 : 0);
  const bool whole = name.size() == lower.size();
  if (is_name_text(name) || (whole && is_ipv4_text(name))) return lower;
  const bool ascii = std::ranges::all_of(lower, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return refuse(where, "\"" + text + "\" is no host" +
                           (ascii ? ": want a name like \"registry.npmjs.org\", \"*.example.com\", an IPv4 address or "
                                    "\"*\", without scheme, port or a dot at its end"
                                  : ": want its xn-- form"));
}

// Fills one rule key by key.
class EgressReader {
 public:
  EgressReader(EgressRule& rule, std::string where) : rule_(rule), where_(std::move(where)) {}

  Result<void> read(const json::object& object) {
    for (const auto& member : object) {
      if (auto done = take(key_of(member), member.value()); !done) return done;
    }
    if (rule_.host.empty()) return refuse(where_, "want a host");
    if (rule_.verdict == Decision::blocked && !object.contains("scheme")) rule_.scheme.reset();
    return check();
  }

 private:
  [[nodiscard]] std::string at(string_view key) const { return where_ + "." + std::string(key); }

  [[nodiscard]] Result<void> check() const {
    const bool requests = !rule_.method.empty() || !rule_.path.empty();
    if (rule_.scheme == EgressScheme::tcp && rule_.port.empty() && rule_.verdict != Decision::blocked)
      return refuse(at("port"), "want the ports of scheme = \"tcp\"");
    if (rule_.scheme == EgressScheme::tcp && (requests || !rule_.secret.empty()))
      return refuse(where_, "tcp is not looked into: method, path and secret want another scheme");
    if (!rule_.secret.empty() && rule_.scheme != EgressScheme::https)
      return refuse(at("secret"), "it is only sent over https: want scheme = \"https\"");
    if (!rule_.secret.empty() && rule_.verdict == Decision::blocked)
      return refuse(at("secret"), "a rule that denies adds none: leave it out");
    const bool named = std::ranges::all_of(rule_.host, [](const auto& host) { return host.find('*') == std::string::npos; });
    if (!rule_.secret.empty() && !named) return refuse(at("secret"), "it is bound to a host: want hosts without *");
    return {};
  }

  Result<void> take(string_view key, const json::value& value) {
    if (key == "host") return take_hosts(value);
    if (key == "port") return take_ports(value);
    if (key == "scheme") return take_scheme(value);
    if (key == "method") return take_methods(value);
    if (key == "path") return take_paths(value);
    if (key == "verdict") {
      AGENTROUTER_TRY(rule_.verdict, decision_of(value, at(key)));
    } else if (key == "id") {
      AGENTROUTER_TRY(rule_.id, text_of(value, at(key), max_text_bytes));
    } else if (key == "reason") {
      AGENTROUTER_TRY(rule_.reason, text_of(value, at(key), max_text_bytes));
    } else if (key == "secret") {
      AGENTROUTER_TRY(rule_.secret, text_of(value, at(key), max_text_bytes));
    } else {
      return refuse(where_, "unknown key \"" + std::string(key) + "\": want one of " + list_of(egress_keys));
    }
    return {};
  }

  Result<void> take_hosts(const json::value& value) {
    AGENTROUTER_TRY(const auto texts, patterns_of(value, at("host")));
    for (const auto& text : texts) {
      AGENTROUTER_TRY(auto host, host_pattern_of(text, at("host")));
      rule_.host.push_back(std::move(host));
    }
    return {};
  }

  Result<void> take_ports(const json::value& value) {
    const json::array one{value};
    const auto* list = value.is_array() ? value.if_array() : &one;
    const auto wanted = "want a number from 1 to 65535, or a list of 1 to " + std::to_string(EgressRules::max_ports);
    if (list->empty() || list->size() > EgressRules::max_ports) return refuse(at("port"), wanted);
    for (const auto& item : *list) {
      const auto number = item.is_uint64() ? static_cast<std::int64_t>(std::min<std::uint64_t>(item.get_uint64(), 65'536))
                          : item.is_int64() ? item.get_int64()
                                            : 0;
      if (number < 1 || number > 65'535) return refuse(at("port"), wanted);
      rule_.port.push_back(static_cast<std::uint16_t>(number));
    }
    return {};
  }

  Result<void> take_scheme(const json::value& value) {
    for (const auto scheme : {EgressScheme::https, EgressScheme::http, EgressScheme::tcp}) {
      if (value == json::value(to_string(scheme))) {
        rule_.scheme = scheme;
        return {};
      }
    }
    return refuse(at("scheme"), "want \"https\", \"http\" or \"tcp\"");
  }

  Result<void> take_methods(const json::value& value) {
    AGENTROUTER_TRY(rule_.method, patterns_of(value, at("method")));
    for (auto& method : rule_.method) {
      if (!std::ranges::all_of(method, is_token_char) || method.find('*') != std::string::npos)
        return refuse(at("method"), "\"" + method + "\" is no method: want names like \"GET\"");
      for (char& c : method) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return {};
  }

  Result<void> take_paths(const json::value& value) {
    AGENTROUTER_TRY(rule_.path, patterns_of(value, at("path")));
    for (const auto& path : rule_.path) {
      const bool plain = path.starts_with('/') && path.find_first_of("?#%\\") == std::string::npos &&
                         egress_path(path).kind == PathKind::plain;
      if (!plain)
        return refuse(at("path"), "\"" + path + "\" is no path: want one like \"/team/**\", decoded and without query");
    }
    return {};
  }

  EgressRule& rule_;
  std::string where_;
};

Result<void> count_ports(const std::vector<EgressRule>& rules) {
  std::set<std::uint16_t> ports;
  for (const auto& rule : rules) {
    if (rule.verdict == Decision::blocked) continue;
    ports.insert(rule.port.begin(), rule.port.end());
    if (rule.port.empty()) ports.insert(rule.scheme == EgressScheme::http ? 80 : 443);
  }
  if (ports.size() <= EgressRules::max_ports) return {};
  return refuse("egress", "want at most " + std::to_string(EgressRules::max_ports) + " different ports");
}

}  // namespace

Result<EgressRules> EgressRules::parse(const json::value& value, string_view policy_id, Opens opens) {
  const auto* list = value.if_array();
  if (!list || list->size() > max_egress_rules)
    return refuse("egress", "want a list of at most " + std::to_string(max_egress_rules) + " rules");
  auto policy = std::make_shared<Named>(Named{std::string(policy_id), opens, {}});
  std::set<std::string> ids;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto* object = (*list)[i].if_object();
    const auto number = "egress rule " + std::to_string(i + 1);
    if (!object) return refuse(number, "want a table");
    const auto name = base::get_string(*object, "id");
    const auto where = number + (name ? " (" + std::string(*name) + ")" : "");
    EgressRule rule{.id = "egress-" + std::to_string(i + 1), .host = {}};
    if (auto done = EgressReader(rule, where).read(*object); !done) return tl::unexpected(done.error());
    if (!ids.insert(rule.id).second) return refuse(where + ".id", "another rule has this id: want each once");
    policy->rules.push_back(std::move(rule));
  }
  if (auto done = count_ports(policy->rules); !done) return tl::unexpected(done.error());
  EgressRules rules;
  rules.policies_.push_back(std::move(policy));
  return rules;
}

}  // namespace agentrouter::policy
