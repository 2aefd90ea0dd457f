#include "policy/egress_rules.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/ascii.h"
#include "policy/egress_path.h"
#include "policy/glob.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

bool host_matches(const std::string& pattern, string_view host) {
  if (pattern == "*") return !is_ipv4_text(host);
  if (!pattern.starts_with("*.")) return pattern == host;
  const auto suffix = string_view(pattern).substr(1);
  return host.size() > suffix.size() && host.ends_with(suffix);
}

bool has_host(const EgressRule& rule, string_view host) {
  return std::ranges::any_of(rule.host, [&](const auto& pattern) { return host_matches(pattern, host); });
}

std::vector<std::uint16_t> ports_of(const EgressRule& rule) {
  if (!rule.port.empty() || !rule.scheme) return rule.port;
  return {static_cast<std::uint16_t>(*rule.scheme == EgressScheme::http ? 80 : 443)};
}

bool has_port(const EgressRule& rule, std::uint16_t port) {
  if (rule.port.empty() && rule.verdict == Decision::blocked) return true;
  const auto ports = ports_of(rule);
  return std::ranges::find(ports, port) != ports.end();
}

bool is_for_connection(const EgressRule& rule, const EgressRequest& request) {
  return (!rule.scheme || *rule.scheme == request.scheme) && has_port(rule, request.port) &&
         has_host(rule, request.host);
}

// Whether it cannot be told from a connection that is only carried.
bool needs_request(const EgressRule& rule) {
  return !rule.method.empty() || !rule.path.empty() || !rule.secret.empty();
}

std::string place_of(const EgressRequest& request) {
  return request.host + ":" + std::to_string(request.port) + " (" + std::string(to_string(request.scheme)) + ")";
}

std::string egress_reason(string_view policy, const EgressRule& rule) {
  return rule.reason.empty() ? "rule " + rule.id + " of [[egress]] of policy " + std::string(policy) : rule.reason;
}

EgressVerdict no_rule(string_view policy, std::string reason) {
  return {.decision = Decision::blocked,
          .policy_id = std::string(policy),
          .rule_id = "default",
          .reason = std::move(reason)};
}

EgressVerdict word_of(string_view policy, const EgressRule& rule) {
  return {.decision = rule.verdict,
          .policy_id = std::string(policy),
          .rule_id = rule.id,
          .reason = egress_reason(policy, rule),
          .secret = rule.secret};
}

EgressVerdict judge_request_of(string_view policy, const std::vector<EgressRule>& rules,
                               const EgressRequest& request) {
  const auto path = egress_path(request.path);
  for (const auto& rule : rules) {
    if (!is_for_connection(rule, request)) continue;
    if (!rule.method.empty() && std::ranges::find(rule.method, request.method) == rule.method.end()) continue;
    if (!rule.path.empty()) {
      if (path.kind == PathKind::unclear)
        return no_rule(policy, "the path has an encoded slash, an empty name or parameters, and rule " +
                                   rule.id + " of policy " + std::string(policy) + " is about paths");
      const bool fits = std::ranges::any_of(
          rule.path, [&](const auto& pattern) { return matches_path(pattern, path.text); });
      if (!fits) continue;
    }
    return word_of(policy, rule);
  }
  return no_rule(policy, "no rule of [[egress]] of policy " + std::string(policy) + " allows " + request.method +
                             " of " + place_of(request));
}

// What its requests could hope for at best; as soon as one rule wants to see them, all are looked at.
EgressVerdict judge_connection_of(string_view policy, const std::vector<EgressRule>& rules,
                                  const EgressRequest& request) {
  std::optional<EgressVerdict> best;
  for (const auto& rule : rules) {
    if (!is_for_connection(rule, request)) continue;
    auto word = word_of(policy, rule);
    const bool last = !needs_request(rule);
    word.inspect = request.scheme == EgressScheme::https && (best || !last);
    word.secret.clear();
    if (!best || word.decision < best->decision) best = std::move(word);
    best->inspect = request.scheme == EgressScheme::https && (best->inspect || !last);
    if (last) break;
  }
  if (!best)
    return no_rule(policy, "no rule of [[egress]] of policy " + std::string(policy) + " allows " + place_of(request));
  if (best->decision == Decision::blocked) best->inspect = false;
  return *best;
}

// Both have to agree.
EgressVerdict both_of(EgressVerdict first, EgressVerdict second) {
  const bool inspect = first.inspect || second.inspect;
  const auto secret = first.secret == second.secret ? first.secret : std::string();
  const bool contrary = !first.secret.empty() && !second.secret.empty() && secret.empty();
  const auto wanted = first.secret + " and " + second.secret;
  auto word = second.decision > first.decision ? std::move(second) : std::move(first);
  if (word.decision != Decision::blocked && contrary)
    word = no_rule(word.policy_id, "policies want different secrets for it: " + wanted);
  word.secret = word.decision == Decision::blocked ? "" : secret;
  word.inspect = word.decision != Decision::blocked && inspect;
  return word;
}

}  // namespace

string_view to_string(EgressScheme scheme) {
  static constexpr std::array<string_view, 3> names{"https", "http", "tcp"};
  return names[static_cast<std::size_t>(scheme)];
}

EgressVerdict EgressRules::judge_one(const Named& policy, const EgressRequest& request) {
  auto word = request.method.empty() ? judge_connection_of(policy.policy_id, policy.rules, request)
                                     : judge_request_of(policy.policy_id, policy.rules, request);
  if (policy.opens == Opens::as_said) return word;
  static constexpr std::array<string_view, 3> would{"allowed", "asked about", "blocked"};
  word.reason = "policy " + policy.policy_id + " is a dry run, which opens nothing: it would have been " +
                std::string(would[static_cast<std::size_t>(word.decision)]) + " (" + word.reason + ")";
  word.decision = Decision::blocked;
  word.secret.clear();
  word.inspect = false;
  return word;
}

EgressVerdict EgressRules::judge(const EgressRequest& asked) const {
  if (policies_.empty()) return no_rule("none", "no policy of this run opens the network");
  auto request = asked;
  const auto host = egress_host(asked.host);
  if (!host) return no_rule(policies_.front()->policy_id, "\"" + asked.host + "\" is no host name");
  request.host = *host;
  if (const auto path = egress_path(request.path); !request.method.empty() && path.kind == PathKind::ambiguous)
    return no_rule(policies_.front()->policy_id, "servers may read the path differently: " + path.text);
  std::optional<EgressVerdict> word;
  for (const auto& policy : policies_) {
    auto next = judge_one(*policy, request);
    word = word ? both_of(std::move(*word), std::move(next)) : std::move(next);
  }
  return std::move(*word);
}

bool EgressRules::knows_host(string_view text) const {
  const auto host = egress_host(text);
  if (!host) return false;
  for (const auto& policy : policies_) {
    for (const auto& rule : policy->rules) {
      if (rule.verdict == Decision::blocked || !has_host(rule, *host)) continue;
      for (const auto port : ports_of(rule)) {
        const auto word = judge({.host = *host, .port = port, .scheme = *rule.scheme});
        if (word.decision != Decision::blocked) return true;
      }
    }
  }
  return false;
}

std::vector<std::uint16_t> EgressRules::ports() const {
  std::optional<std::set<std::uint16_t>> all;
  for (const auto& policy : policies_) {
    std::set<std::uint16_t> own;
    for (const auto& rule : policy->rules) {
      if (rule.verdict == Decision::blocked || policy->opens == Opens::nothing) continue;
      for (const auto port : ports_of(rule)) {
        if (!all || all->contains(port)) own.insert(port);
      }
    }
    all = std::move(own);
  }
  if (!all) return {};
  return {all->begin(), all->end()};
}

bool EgressRules::inspects() const {
  if (ports().empty()) return false;
  return std::ranges::any_of(policies_, [](const auto& policy) {
    return std::ranges::any_of(policy->rules, [](const auto& rule) {
      return rule.scheme.value_or(EgressScheme::https) == EgressScheme::https && needs_request(rule);
    });
  });
}

std::vector<std::string> EgressRules::secrets() const {
  if (policies_.empty()) return {};
  std::set<std::string> names;
  for (const auto& policy : policies_) {
    for (const auto& rule : policy->rules) {
      if (!rule.secret.empty()) names.insert(rule.secret);
    }
  }
  return {names.begin(), names.end()};
}

EgressRules tightened(const EgressRules& server, const EgressRules& caller) {
  if (server.empty() || caller.empty()) return {};
  auto both = server;
  both.policies_.insert(both.policies_.end(), caller.policies_.begin(), caller.policies_.end());
  return both;
}

}  // namespace agentrouter::policy
