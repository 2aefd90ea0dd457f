#include "runs/standing_rules.h"

#include <algorithm>

#include "model/action.h"
#include "policy/rules.h"
#include "runs/actions.h"
#include "runs/idempotency.h"
#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

using base::Result;
using store::StandingRule;

json::object parsed_object(std::string_view text) {
  const auto value = base::parse_json(text, {.max_depth = 128, .max_bytes = 16u << 20});
  return value && value->is_object() ? value->get_object() : json::object();
}

// The rules that hold as a policy that asks about everything else; those that deny come first.
json::object policy_of(const std::vector<StandingRule>& rules) {
  json::array list;
  for (const bool approves : {false, true}) {
    for (const auto& rule : rules) {
      if (rule.withdrawn_at || rule.approves != approves) continue;
      auto object = parsed_object(rule.rule);
      object["id"] = rule.id;
      object["verdict"] = approves ? "allow" : "deny";
      list.push_back(std::move(object));
    }
  }
  return {{"name", "standing"}, {"default", "ask"}, {"not_understood", "ask"}, {"rules", std::move(list)}};
}

// Minutes since Monday 00:00 UTC. 1970-01-01 was a Thursday.
int week_minute_of(base::Time time) {
  constexpr auto week = std::chrono::minutes(7 * 24 * 60);
  const auto minutes = std::chrono::floor<std::chrono::minutes>(time.time_since_epoch());
  return static_cast<int>((minutes + std::chrono::days(3)) % week / std::chrono::minutes(1));
}

// What was asked about, when the store has all of it and it is a call of a tool.
std::optional<policy::ActionFacts> facts_of(store::Reader& reader, const model::Run& run,
                                            const store::Approval& approval, base::Time now) {
  const auto record = reader.action(run.id, approval.action_id);
  const auto event = record ? reader.event(run.id, record->requested_seq) : std::nullopt;
  if (!event || event->truncated) return std::nullopt;
  const auto payload = parsed_object(event->payload);
  const auto* body = base::get_object(payload, "action");
  if (body == nullptr || base::json_digest(*body) != approval.action_digest) return std::nullopt;
  if (base::get_string(*body, "type") != "tool_call") return std::nullopt;
  const auto* args = base::get_object(*body, "args");
  const auto* input = args ? base::get_object(*args, "input") : nullptr;
  const auto tool = args ? base::get_string(*args, "tool") : std::nullopt;
  if (input == nullptr || !tool) return std::nullopt;
  return policy::ActionFacts{.tool = std::string(*tool),
                             .args = *input,
                             .runtime = std::string(to_string(run.runtime.kind)),
                             .mode = run.runtime.mode,
                             .tags = {run.tags.begin(), run.tags.end()},
                             .week_minute = week_minute_of(now)};
}

// The rule whose word it is. An action that no rule speaks about is nobody's.
const StandingRule* speaker(const std::vector<StandingRule>& rules, const policy::Rules& policy,
                            const policy::ActionFacts& facts) {
  const auto verdict = policy.judge(facts).decision;
  if (verdict == policy::Decision::requires_approval) return nullptr;
  for (const auto& part : policy.explain(facts)) {
    if (part.decision != verdict) continue;
    const auto named = std::find_if(rules.begin(), rules.end(),
                                    [&](const StandingRule& rule) { return rule.id == part.rule_id; });
    if (named != rules.end()) return &*named;
  }
  return nullptr;
}

Result<model::Run> active_run(store::Reader& reader, const model::RunId& id) {
  auto run = reader.run(id);
  if (!run) return tl::unexpected(run_not_found(id));
  const auto attempt = reader.latest_attempt(id);
  const bool closing = attempt && !attempt->closing.empty();
  if (closing || model::is_terminal(run->status) || run->status == model::RunStatus::cancelling)
    return tl::unexpected(run_not_active(id));
  return std::move(*run);
}

void append_rule_event(store::Transaction& tx, const StandingRule& rule, std::string_view type,
                       std::string_view by, Context context) {
  json::object payload{{"eventId", model::new_event_id(context.entropy)},
                       {"actor", "human"},
                       {"ruleId", rule.id},
                       {"decision", to_string(rule.approves ? Decision::approved : Decision::denied)},
                       {"rule", parsed_object(rule.rule)}};
  if (!rule.reason.empty()) payload["reason"] = rule.reason;
  if (!by.empty()) payload["decidedBy"] = by;
  append_event(tx, rule.run_id,
               make_event(type, model::EventSource::api, model::Visibility::open, payload, context.clock.now()));
}

KeyedUse keyed_use(const NewStandingRule& request) {
  if (request.idempotency_key.empty()) return {};
  const json::object body{
      {"decision", to_string(request.decision)}, {"rule", request.rule}, {"reason", request.reason}};
  return {"POST /v1/runs/" + request.run.str() + "/approval-rules", request.idempotency_key, body_hash(body)};
}

Result<void> check_rule(const StandingRule& rule, const json::object& keys) {
  for (const auto* ours : {"id", "verdict", "reason"}) {
    if (keys.contains(ours))
      return base::fail(base::Code::invalid, std::string("rule: leave out \"") + ours + "\"", "policy_invalid");
  }
  if (keys.empty())
    return base::fail(base::Code::invalid, "rule: want at least one key, such as \"command\" or \"tool\"",
                      "policy_invalid");
  AGENTROUTER_TRY(std::ignore, policy::Rules::parse(policy_of({rule})));
  return {};
}

}  // namespace

Result<GivenRule> give_rule(store::Transaction& tx, const NewStandingRule& request, Context context) {
  const auto use = keyed_use(request);
  AGENTROUTER_TRY(const auto earlier, earlier_use(tx, use, context));
  if (earlier) {
    for (auto& rule : tx.standing_rules(request.run)) {
      if (rule.id == earlier->run_id.str())
        return GivenRule{std::move(rule), static_cast<int>(earlier->event_seq), true};
    }
  }
  AGENTROUTER_TRY(const auto run, active_run(tx, request.run));
  StandingRule rule{.id = "rule_" + base::new_uuid(context.entropy),
                    .run_id = run.id,
                    .approves = request.decision == Decision::approved,
                    .rule = base::to_text(request.rule),
                    .reason = request.reason,
                    .given_by = request.given_by,
                    .given_at = context.clock.now()};
  if (auto checked = check_rule(rule, request.rule); !checked) return tl::unexpected(checked.error());
  if (tx.standing_rules(run.id).size() >= most_standing_rules)
    return base::fail(base::Code::conflict,
                      "the run has " + std::to_string(most_standing_rules) + " rules already",
                      "standing_rule_limit");
  tx.put_standing_rule(rule);
  append_rule_event(tx, rule, "approval.rule_given", request.given_by, context);
  GivenRule given;
  for (const auto& approval : tx.pending_approvals(run.id)) {
    if (decide_by_rule(tx, run, approval, context)) ++given.decided;
  }
  for (auto& stored : tx.standing_rules(run.id)) {
    if (stored.id == rule.id) given.rule = std::move(stored);
  }
  remember_use(tx, use, model::RunId(rule.id), given.decided, context);
  return given;
}

Result<StandingRule> withdraw_rule(store::Transaction& tx, const model::RunId& run, std::string_view id,
                                   std::string_view by, Context context) {
  AGENTROUTER_TRY(const auto rules, standing_rules(tx, run));
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const StandingRule& rule) { return rule.id == id; });
  if (found == rules.end())
    return base::fail(base::Code::not_found, "run " + run.str() + " has no rule " + std::string(id),
                      "standing_rule_not_found");
  auto rule = *found;
  if (rule.withdrawn_at) return rule;
  AGENTROUTER_TRY(std::ignore, active_run(tx, run));
  rule.withdrawn_at = context.clock.now();
  rule.withdrawn_by = by;
  tx.put_standing_rule(rule);
  append_rule_event(tx, rule, "approval.rule_withdrawn", by, context);
  return rule;
}

Result<std::vector<StandingRule>> standing_rules(store::Reader& reader, const model::RunId& run) {
  if (!reader.run(run)) return tl::unexpected(run_not_found(run));
  return reader.standing_rules(run);
}

bool decide_by_rule(store::Transaction& tx, const model::Run& run, const store::Approval& approval,
                    Context context) {
  const auto rules = tx.standing_rules(run.id);
  if (std::all_of(rules.begin(), rules.end(), [](const auto& rule) { return rule.withdrawn_at.has_value(); }))
    return false;
  const auto facts = facts_of(tx, run, approval, context.clock.now());
  const auto policy = policy::Rules::parse(policy_of(rules));
  if (!facts || !policy) return false;
  const auto* rule = speaker(rules, *policy, *facts);
  if (rule == nullptr) return false;
  const auto decided = decide_action(tx,
                                     {.run = run.id,
                                      .action = approval.action_id,
                                      .action_digest = approval.action_digest,
                                      .decision = rule->approves ? Decision::approved : Decision::denied,
                                      .reason = rule->reason,
                                      .decided_by = rule->given_by,
                                      .standing_rule = rule->id},
                                     context);
  if (!decided) return false;
  auto used = *rule;
  used.used += 1;
  tx.put_standing_rule(used);
  return true;
}

std::string to_wire(const StandingRule& rule) {
  json::object object{{"id", rule.id},
                      {"runId", rule.run_id.str()},
                      {"decision", to_string(rule.approves ? Decision::approved : Decision::denied)},
                      {"rule", parsed_object(rule.rule)},
                      {"givenAt", base::to_iso(rule.given_at)},
                      {"used", rule.used}};
  if (!rule.reason.empty()) object["reason"] = rule.reason;
  if (!rule.given_by.empty()) object["givenBy"] = rule.given_by;
  if (rule.withdrawn_at) object["withdrawnAt"] = base::to_iso(*rule.withdrawn_at);
  if (!rule.withdrawn_by.empty()) object["withdrawnBy"] = rule.withdrawn_by;
  return base::to_text(object);
}

}  // namespace agentrouter::runs
