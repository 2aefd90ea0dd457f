#include "keeper/action_judge.h"

#include "policy/action_mode.h"

namespace agentrouter::keeper {

json::object verdict_fields(std::string_view policy, std::string_view version, policy::Decision decision,
                            std::string_view reason) {
  return {{"policyId", policy},
          {"policyVersion", version},
          {"decision", policy::to_string(decision)},
          {"reason", reason}};
}

namespace {

using policy::Decision;
using policy::ModeStep;

policy::ModeFacts facts_of(const agents::Ask& ask) {
  policy::ModeFacts facts{
      .tool = {.tool = ask.tool, .command = std::string(base::get_string(ask.args, "command").value_or(""))}};
  // A change that names a second place, or asks for more than itself, is no plain edit.
  const auto* changes = ask.args.contains("grantRoot") ? nullptr : base::get_array(ask.args, "changes");
  for (const auto& entry : changes ? *changes : json::array{}) {
    const auto* change = entry.if_object();
    for (const auto* key : {"path", "movePath"}) {
      const bool there = change != nullptr && change->contains(key);
      if (!there && std::string_view(key) == "movePath") continue;
      facts.changed_paths.emplace_back(there ? base::get_string(*change, key).value_or("") : "");
    }
  }
  return facts;
}

ActionVerdict verdict_of(const policy::ModeVerdict& mode) {
  ActionVerdict verdict;
  verdict.decision = mode.step == ModeStep::deny  ? Decision::blocked
                     : mode.step == ModeStep::ask ? Decision::requires_approval
                                                  : Decision::allowed;
  verdict.review = mode.step == ModeStep::review;
  verdict.reason = mode.reason;
  verdict.fields = verdict_fields(mode.policy_id, mode.policy_version, verdict.decision, mode.reason);
  return verdict;
}

// Minutes since Monday 00:00 UTC. 1970-01-01 was a Thursday.
int week_minute_of(base::Time time) {
  constexpr auto week = std::chrono::minutes(7 * 24 * 60);
  const auto minutes = std::chrono::floor<std::chrono::minutes>(time.time_since_epoch());
  return static_cast<int>((minutes + std::chrono::days(3)) % week / std::chrono::minutes(1));
}

policy::ActionFacts facts_for_rules(const AttemptPlan& plan, std::string tool, json::object args,
                                    base::Time now) {
  return {.tool = std::move(tool),
          .args = std::move(args),
          .runtime = std::string(model::to_string(plan.runtime.kind)),
          .mode = plan.runtime.mode,
          .tags = {plan.tags.begin(), plan.tags.end()},
          .week_minute = week_minute_of(now)};
}

policy::RuleVerdict by_policy(const AttemptPlan& plan, const agents::Ask& ask, base::Time now) {
  return plan.rules->judge(facts_for_rules(plan, ask.tool, ask.args, now));
}

ActionVerdict verdict_of(const policy::RuleVerdict& rule) {
  return {.decision = rule.decision, .reason = rule.reason, .fields = rule.to_json()};
}

// A request on the sandbox's way out to other hosts, as keeper/network_gate.h proposes it.
std::optional<policy::EgressRequest> egress_request_of(const agents::Ask& ask) {
  const auto text = [&](std::string_view key) { return std::string(base::get_string(ask.args, key).value_or("")); };
  if (ask.tool != "network" || !ask.args.contains("scheme")) return std::nullopt;
  policy::EgressRequest request{.host = text("host"), .method = text("method"), .path = text("path")};
  request.port = static_cast<std::uint16_t>(base::get_int(ask.args, "port").value_or(0));
  for (const auto scheme : {policy::EgressScheme::https, policy::EgressScheme::http, policy::EgressScheme::tcp}) {
    if (text("scheme") == policy::to_string(scheme)) request.scheme = scheme;
  }
  // A connection that is carried as it is.
  if (request.method == "CONNECT" && request.path.empty()) request.method.clear();
  return request;
}

ActionVerdict verdict_of(const AttemptPlan& plan, const policy::EgressVerdict& word) {
  return {.decision = word.decision,
          .reason = word.reason,
          .fields = {{"policyId", word.policy_id},
                     {"policyVersion", plan.rules ? plan.rules->version() : ""},
                     {"ruleId", word.rule_id},
                     {"decision", policy::to_string(word.decision)},
                     {"reason", word.reason}}};
}

}  // namespace

policy::EgressVerdict judge_egress(const AttemptPlan& plan, const policy::EgressRequest& request, base::Time now) {
  if (!plan.rules) return policy::EgressRules().judge(request);
  return plan.rules->judge_egress(request, facts_for_rules(plan, "network", {}, now));
}

ActionVerdict judge_action(const AttemptPlan& plan, const agents::Ask& ask, base::Time now) {
  if (const auto request = egress_request_of(ask)) return verdict_of(plan, judge_egress(plan, *request, now));
  if (!plan.rules || !plan.rules->judges_actions())
    return verdict_of(policy::judge_action(plan.runtime, plan.approval_mode, facts_of(ask)));
  const auto limit = verdict_of(policy::judge_action_under_policy(plan.runtime, facts_of(ask)));
  if (limit.decision == Decision::blocked) return limit;
  auto verdict = verdict_of(by_policy(plan, ask, now));
  verdict.review = limit.review && verdict.decision == Decision::allowed;
  return verdict;
}

ActionVerdict judge_launch(const AttemptPlan& plan, base::Time now) {
  const auto mode = policy::judge_launch(plan.approval_mode);
  const ActionVerdict by_mode{
      .decision = mode.decision,
      .reason = mode.reason,
      .fields = verdict_fields(mode.policy_id, mode.policy_version, mode.decision, mode.reason)};
  if (!plan.rules) return by_mode;
  const auto rules = plan.rules->judge_by_rules(facts_for_rules(plan, "launch", {}, now));
  const bool counts = rules.rule_id != "default" && rules.decision >= by_mode.decision;
  return counts ? verdict_of(rules) : by_mode;
}

bool judge_connection(const AttemptPlan& plan, const agents::Ask& ask, base::Time now) {
  if (!plan.rules) return true;
  const auto verdict = plan.rules->judge_by_rules(facts_for_rules(plan, ask.tool, ask.args, now));
  return verdict.decision == Decision::allowed;
}

}  // namespace agentrouter::keeper
