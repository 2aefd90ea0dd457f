#include "keeper/egress_plan.h"

#include <algorithm>

namespace agentrouter::keeper {

namespace {

using base::Result;

constexpr std::size_t key_bytes_at_most = 16 * 1024;
constexpr std::string_view last_line = "PRIVATE KEY-----\n";

json::array texts_json(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

tl::unexpected<base::Error> unreadable(const std::string& what) {
  return base::fail(base::Code::invalid, "cannot read the plan: no valid egress." + what);
}

Result<std::vector<std::string>> texts_of(const json::object& object, const std::string& key) {
  const auto* list = base::get_array(object, key);
  if (!list) return unreadable(key);
  std::vector<std::string> texts;
  for (const auto& value : *list) {
    if (!value.is_string()) return unreadable(key);
    texts.emplace_back(value.get_string());
  }
  return texts;
}

Result<std::string> text_at(const json::object& object, const std::string& key) {
  const auto text = base::get_string(object, key);
  if (!text) return unreadable(key);
  return std::string(*text);
}

Result<std::size_t> size_at(const json::object& object, const std::string& key, std::size_t most) {
  const auto number = base::get_int(object, key);
  if (!number || *number < 0 || static_cast<std::size_t>(*number) > most) return unreadable(key);
  return static_cast<std::size_t>(*number);
}

Result<SecretPlan> secret_of(const json::value& value) {
  const auto* object = value.if_object();
  if (!object) return unreadable("secrets");
  SecretPlan secret;
  AGENTROUTER_TRY(secret.name, text_at(*object, "name"));
  AGENTROUTER_TRY(secret.host, text_at(*object, "host"));
  AGENTROUTER_TRY(secret.header, text_at(*object, "header"));
  AGENTROUTER_TRY(secret.methods, texts_of(*object, "methods"));
  AGENTROUTER_TRY(secret.paths, texts_of(*object, "paths"));
  AGENTROUTER_TRY(secret.field_bytes, size_at(*object, "fieldBytes", egress::Secret::max_bytes));
  AGENTROUTER_TRY(secret.plain_bytes, size_at(*object, "plainBytes", egress::Secret::max_bytes));
  return secret;
}

Result<egress::SecretBuffer> read_buffer(int fd, std::size_t size) {
  egress::SecretBuffer buffer(size);
  while (buffer.size() < size) {
    AGENTROUTER_TRY(const auto got, buffer.read_from(fd));
    if (got == 0) return base::fail(base::Code::invalid, "cannot read the plan: it is cut");
  }
  return buffer;
}

}  // namespace

json::object EgressPlan::to_json() const {
  json::array all;
  for (const auto& secret : secrets) {
    all.push_back({{"name", secret.name},
                   {"host", secret.host},
                   {"methods", texts_json(secret.methods)},
                   {"paths", texts_json(secret.paths)},
                   {"header", secret.header},
                   {"fieldBytes", std::max(secret.field.size(), secret.field_bytes)},
                   {"plainBytes", std::max(secret.plain.size(), secret.plain_bytes)}});
  }
  return {{"secrets", std::move(all)},
          {"privateHosts", texts_json(private_hosts)},
          {"caCertificates", ca_certificates},
          {"authority", authority},
          {"authorityKeyBytes", std::max(authority_key.size(), authority_key_bytes)}};
}

Result<EgressPlan> EgressPlan::from_json(const json::object& object) {
  EgressPlan plan;
  const auto* all = base::get_array(object, "secrets");
  if (!all || all->size() > max_secrets) return unreadable("secrets");
  for (const auto& value : *all) {
    AGENTROUTER_TRY(auto secret, secret_of(value));
    plan.secrets.push_back(std::move(secret));
  }
  AGENTROUTER_TRY(plan.private_hosts, texts_of(object, "privateHosts"));
  AGENTROUTER_TRY(plan.ca_certificates, text_at(object, "caCertificates"));
  AGENTROUTER_TRY(plan.authority, text_at(object, "authority"));
  AGENTROUTER_TRY(plan.authority_key_bytes, size_at(object, "authorityKeyBytes", key_bytes_at_most));
  if (plan.authority.empty() != (plan.authority_key_bytes == 0)) return unreadable("authority");
  return plan;
}

std::string EgressPlan::values() const {
  std::string all;
  for (const auto& secret : secrets) all += secret.field + secret.plain;
  return all + authority_key;
}

Result<EgressPlan> plan_for(const policy::Rules& rules, const EgressPlan& all) {
  EgressPlan plan;
  if (rules.egress().ports().empty()) return plan;
  for (const auto& name : rules.egress().secrets()) {
    const auto found = std::ranges::find(all.secrets, name, &SecretPlan::name);
    if (found == all.secrets.end())
      return base::fail(base::Code::not_found,
                        "the policy adds the secret \"" + name + "\", and the server has no [secrets." + name + "]",
                        "secret_unknown", base::to_text(json::object{{"name", name}}));
    plan.secrets.push_back(*found);
  }
  plan.private_hosts = all.private_hosts;
  plan.ca_certificates = all.ca_certificates;
  return plan;
}

Result<void> give_authority(EgressPlan& plan, std::string_view run_id) {
  AGENTROUTER_TRY(auto pair, egress::make_authority(run_id));
  plan.authority = std::move(pair.certificate);
  plan.authority_key = pair.key.view();
  return {};
}

Result<EgressSecrets> EgressSecrets::read_from(int fd, const EgressPlan& plan) {
  EgressSecrets values;
  for (const auto& secret : plan.secrets) {
    AGENTROUTER_TRY(auto field, egress::Secret::read_field(fd, secret.field_bytes));
    auto& one = values.secrets.emplace_back(One{std::move(field), std::nullopt});
    if (secret.plain_bytes == 0) continue;
    AGENTROUTER_TRY(auto plain, egress::Secret::read_field(fd, secret.plain_bytes));
    one.plain = std::move(plain);
  }
  if (plan.authority.empty()) return values;
  AGENTROUTER_TRY(values.authority_key, read_buffer(fd, plan.authority_key_bytes));
  AGENTROUTER_TRY(values.authority, egress::Authority::load(plan.authority, values.authority_key.view()));
  return values;
}

std::vector<std::string_view> EgressSecrets::views() const {
  std::vector<std::string_view> all;
  for (const auto& one : secrets) {
    const auto field = one.field.view();
    all.push_back(field);
    // "Bearer <this>"
    if (const auto word = field.substr(field.rfind(' ') + 1); word.size() < field.size()) all.push_back(word);
    if (one.plain) all.push_back(one.plain->view());
  }
  // The lines between the first and the last one are what is secret of it.
  const auto key = authority_key.view();
  const auto from = key.find(last_line);
  const auto to = key.rfind("\n-----");
  if (from != std::string_view::npos && to > from + last_line.size())
    all.push_back(key.substr(from + last_line.size(), to - from - last_line.size()));
  return all;
}

}  // namespace agentrouter::keeper
