#include "policy/rules.h"

#include <algorithm>

#include "policy/action_parts.h"
#include "policy/glob.h"
#include "policy/rule.h"
#include "policy/shell_syntax.h"

namespace agentrouter::policy {

namespace {

using base::Result;

constexpr std::size_t max_policies = 8;

// Whether a policy's default counts, or only its rules do.
enum class Defaults { count, aside };

struct Outcome {
  Decision decision = Decision::allowed;
  std::string rule_id;
  std::string reason;
};

// The first unless the second is stricter.
Outcome stricter(Outcome first, Outcome second) {
  return second.decision > first.decision ? second : first;
}

// Why this rule of this policy.
std::string said_by(const Policy& policy, const Rule& rule) {
  return rule.reason.empty() ? "rule " + rule.id + " of policy " + policy.name : rule.reason;
}

bool sets_only(const Part& part, const Patterns& allowed) {
  const auto& exports = part.command->exports;
  return std::all_of(exports.begin(), exports.end(), [&](const auto& name) {
    return std::find(allowed.begin(), allowed.end(), name) != allowed.end();
  });
}

// Whether a rule's permission reaches this part: what the words only carry wants a rule that names the
// program, what is not understood wants a person.
bool may_allow(const Part& part, const Rule* rule) {
  if (part.sight == Sight::opaque) return false;
  if (part.sight == Sight::carries && !(rule && !rule->command.empty())) return false;
  if (!part.command) return true;
  const auto& exports = part.command->exports;
  if (part.command->inert) return std::none_of(exports.begin(), exports.end(), rules_the_shell);
  return sets_only(part, rule ? rule->env : Patterns{});
}

Outcome not_understood(const Policy& policy, const Part& part) {
  auto why = part.doubt;
  if (why.empty() && part.command && !part.command->exports.empty())
    why = "it sets " + part.command->exports.front() + ", which may change what a program does";
  return {std::max(policy.not_understood, policy.fallback), "not-understood",
          "not allowed without a person's word: " + why};
}

Outcome by_default(const Policy& policy) {
  static constexpr std::string_view words[] = {"allows", "asks", "denies"};
  return {policy.fallback, "default",
          "no rule of policy " + policy.name + " matches, and its default " +
              std::string(words[static_cast<int>(policy.fallback)])};
}

Outcome unless_hidden(const Policy& policy, const Part& part, Outcome outcome) {
  return part.sight == Sight::opaque ? stricter(std::move(outcome), not_understood(policy, part)) : outcome;
}

Outcome judge_part(const Policy& policy, const Action& action, const Part& part, Defaults defaults) {
  Outcome floor;
  const bool inert = part.command && part.command->inert;
  for (const auto& rule : policy.rules) {
    const auto matched = match(rule, action, part);
    if (matched == Match::no) continue;
    Outcome outcome{rule.verdict, rule.id, said_by(policy, rule)};
    if (rule.verdict == Decision::allowed) {
      if (matched != Match::yes) continue;
      if (!may_allow(part, &rule)) outcome = not_understood(policy, part);
      return stricter(std::move(outcome), std::move(floor));
    }
    if (matched == Match::yes)
      return unless_hidden(policy, part, stricter(std::move(outcome), std::move(floor)));
    outcome.decision = Decision::requires_approval;
    outcome.reason = "what is only known when it runs decides whether " + outcome.reason + " applies";
    floor = stricter(std::move(floor), std::move(outcome));
  }
  auto last = by_default(policy);
  if (defaults == Defaults::aside) last = {Decision::allowed, "default", "no rule is about it"};
  if (inert) last = {Decision::allowed, "default", "it does nothing by itself"};
  if (last.decision == Decision::allowed && !may_allow(part, nullptr)) last = not_understood(policy, part);
  return unless_hidden(policy, part, stricter(std::move(last), std::move(floor)));
}

// Whether a rule that refuses or asks is about methods or paths of requests to this host; "": to some host.
bool sees_requests(const Policy& policy, std::string_view host) {
  if (policy.dry_run) return false;
  return std::ranges::any_of(policy.rules, [&](const Rule& rule) {
    if (rule.verdict == Decision::allowed || (rule.method.empty() && rule.url_path.empty())) return false;
    const auto any = [](const Patterns& patterns, std::string_view text) {
      return patterns.empty() || std::ranges::any_of(patterns, [&](const auto& p) { return matches_text(p, text); });
    };
    return any(rule.tool, "network") && (host.empty() || any(rule.host, host));
  });
}

RuleVerdict verdict_of(const Policy& policy, const Action& action, Defaults defaults) {
  Outcome worst;
  for (const auto& part : action.parts) {
    auto outcome = judge_part(policy, action, part, defaults);
    if (worst.rule_id.empty() || outcome.decision > worst.decision) {
      if (outcome.decision != Decision::allowed && action.parts.size() > 1)
        outcome.reason += " (it " + part.title(action.facts.tool) + ")";
      worst = std::move(outcome);
    }
  }
  return {.decision = policy.dry_run ? Decision::allowed : worst.decision,
          .policy_id = policy.name,
          .policy_version = policy.version,
          .rule_id = std::move(worst.rule_id),
          .reason = std::move(worst.reason),
          .dry_run = policy.dry_run,
          .would_be = worst.decision};
}

bool counts_before(const RuleVerdict& a, const RuleVerdict& b) {
  return a.decision != b.decision ? a.decision > b.decision : a.would_be > b.would_be;
}

RuleVerdict strictest(const std::vector<std::shared_ptr<const Policy>>& policies, const ActionFacts& facts,
                      Defaults defaults) {
  const auto action = take_apart(facts);
  std::optional<RuleVerdict> worst;
  for (const auto& policy : policies) {
    if (!policy->judges) continue;
    auto verdict = verdict_of(*policy, action, defaults);
    if (!worst || counts_before(verdict, *worst)) worst = std::move(verdict);
  }
  if (worst) return std::move(*worst);
  const auto decision = defaults == Defaults::aside ? Decision::allowed : Decision::blocked;
  return {.decision = decision, .policy_id = "none", .rule_id = "default", .reason = "there is no policy", .would_be = decision};
}

// The stronger of the two; a word that is none is left for the reader to refuse.
void inherit_isolation(json::object& document, const json::object& parent) {
  const auto wanted = base::get_string(parent, "require_isolation");
  if (!wanted) return;
  const auto own = base::get_string(document, "require_isolation");
  if (document.contains("require_isolation") && !own) return;
  const auto mine = model::parse_isolation(own.value_or("process"));
  const auto theirs = model::parse_isolation(*wanted);
  if (mine && theirs && *theirs > *mine) document["require_isolation"] = *wanted;
}

}  // namespace

json::object RuleVerdict::to_json() const {
  json::object fields{{"policyId", policy_id},
                      {"policyVersion", policy_version},
                      {"ruleId", rule_id},
                      {"decision", to_string(decision)},
                      {"reason", reason}};
  if (dry_run) {
    fields["dryRun"] = true;
    fields["wouldBe"] = to_string(would_be);
  }
  return fields;
}

Result<Rules> Rules::parse(const json::object& document) {
  Rules rules;
  const auto* all = document.if_contains("allOf");
  if (!all) {
    AGENTROUTER_TRY(auto policy, parse_policy(document));
    rules.egress_ = policy.egress;
    rules.policies_.push_back(std::make_shared<const Policy>(std::move(policy)));
    return rules;
  }
  const auto* list = all->if_array();
  if (!list || list->empty() || list->size() > max_policies || document.size() != 1)
    return base::fail(base::Code::invalid, "allOf: want a list of 1 to 8 policies and nothing beside it",
                      "policy_invalid");
  for (const auto& item : *list) {
    const auto* object = item.if_object();
    AGENTROUTER_TRY(auto policy, parse_policy(object ? *object : json::object()));
    rules.egress_ = rules.policies_.empty() ? policy.egress : tightened(rules.egress_, policy.egress);
    rules.policies_.push_back(std::make_shared<const Policy>(std::move(policy)));
  }
  return rules;
}

json::object Rules::document() const {
  if (policies_.size() == 1) return policies_.front()->document;
  json::array all;
  for (const auto& policy : policies_) all.push_back(policy->document);
  return {{"allOf", std::move(all)}};
}

std::string Rules::version() const {
  if (policies_.size() == 1) return policies_.front()->version;
  return base::json_digest(document());
}

std::string Rules::name() const {
  std::string name;
  for (const auto& policy : policies_) name.append(name.empty() ? "" : "+").append(policy->name);
  return name;
}

bool Rules::judges_actions() const {
  return std::ranges::any_of(policies_, [](const auto& policy) { return policy->judges; });
}

NoProgressRules Rules::no_progress() const {
  std::optional<NoProgressRules> rules;
  for (const auto& policy : policies_) {
    if (!policy->no_progress) continue;
    rules = rules ? policy::tightened(*rules, *policy->no_progress) : *policy->no_progress;
  }
  return rules.value_or(NoProgressRules());
}

model::Isolation Rules::require_isolation() const {
  auto strongest = model::Isolation::process;
  for (const auto& policy : policies_) strongest = std::max(strongest, policy->isolation);
  return strongest;
}

RuleVerdict Rules::judge(const ActionFacts& facts) const {
  return strictest(policies_, facts, Defaults::count);
}

RuleVerdict Rules::judge_by_rules(const ActionFacts& facts) const {
  return strictest(policies_, facts, Defaults::aside);
}

bool Rules::inspects() const {
  if (egress_.inspects()) return true;
  const bool wanted = std::ranges::any_of(policies_, [](const auto& policy) { return sees_requests(*policy, ""); });
  return wanted && !egress_.ports().empty();
}

EgressVerdict Rules::judge_egress(const EgressRequest& request, ActionFacts run) const {
  auto word = egress_.judge(request);
  if (word.decision == Decision::blocked || !judges_actions()) return word;
  run.tool = "network";
  run.args = {{"host", request.host}, {"port", request.port}, {"scheme", to_string(request.scheme)}};
  if (!request.method.empty()) run.args["method"] = request.method;
  if (!request.method.empty()) run.args["path"] = request.path;
  const auto said = judge_by_rules(run);
  if (said.decision > word.decision) {
    word.decision = said.decision;
    word.policy_id = said.policy_id;
    word.rule_id = said.rule_id;
    word.reason = said.reason;
  }
  if (word.decision == Decision::blocked) return {word.decision, word.policy_id, word.rule_id, word.reason};
  const bool connection = request.method.empty() && request.scheme == EgressScheme::https;
  word.inspect = word.inspect || (connection && std::ranges::any_of(policies_, [&](const auto& policy) {
                                    return sees_requests(*policy, request.host);
                                  }));
  return word;
}

std::vector<Rules::Part> Rules::explain(const ActionFacts& facts) const {
  const auto action = take_apart(facts);
  std::vector<Part> parts;
  for (const auto& policy : policies_) {
    if (!policy->judges) continue;
    for (const auto& part : action.parts) {
      auto outcome = judge_part(*policy, action, part, Defaults::count);
      parts.push_back({part.title(facts.tool), std::move(outcome.rule_id), std::move(outcome.reason),
                       outcome.decision, policy->name});
    }
  }
  return parts;
}

Rules tightened(const Rules& server, const Rules& caller) {
  Rules both = server;
  for (const auto& policy : caller.policies_) {
    const auto same = [&](const auto& other) { return other->version == policy->version; };
    if (std::any_of(both.policies_.begin(), both.policies_.end(), same)) continue;
    both.egress_ = tightened(both.egress_, policy->egress);
    both.policies_.push_back(policy);
  }
  return both;
}

namespace {

// Those of `key` behind its own.
void inherit_rules(json::object& document, const json::object& parent, std::string_view key) {
  const auto* more = base::get_array(parent, key);
  const auto* own = base::get_array(document, key);
  if (!more || (document.contains(key) && !own)) return;
  auto rules = own ? *own : json::array();
  for (std::size_t i = 0; i < more->size(); ++i) {
    auto rule = (*more)[i];
    if (auto* object = rule.if_object()) {
      const auto id = base::get_string(*object, "id");
      (*object)["id"] = std::string(base::get_string(parent, "name").value_or("parent")) + "/" +
                        (id ? std::string(*id) : "rule-" + std::to_string(i + 1));
    }
    rules.push_back(std::move(rule));
  }
  document[key] = std::move(rules);
}

}  // namespace

json::object inherited(json::object document, const json::object& parent) {
  for (const auto* key : {"default", "not_understood"}) {
    if (const auto* value = parent.if_contains(key); value && !document.contains(key)) document[key] = *value;
  }
  inherit_isolation(document, parent);
  if (const auto* table = base::get_object(parent, "no_progress")) {
    const auto* own = document.if_contains("no_progress");
    if (!own || own->is_object())
      document["no_progress"] = inherited_no_progress(own ? own->get_object() : json::object(), *table);
  }
  for (const auto* key : {"rules", "egress"}) inherit_rules(document, parent, key);
  return document;
}

bool is_policy_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace agentrouter::policy
