// Decisions about the rest of a run, by rule.

#include "api/call.h"
#include "api/schema.h"
#include "runs/standing_rules.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t longest_rule_reason = 500;

base::Result<runs::NewStandingRule> parse_standing_rule(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  runs::NewStandingRule result;
  const auto* decision = object->if_contains("decision");
  const auto* word = decision ? decision->if_string() : nullptr;
  if (!word || (*word != "approved" && *word != "denied"))
    issues.not_one_of({"decision"}, {"approved", "denied"});
  if (word && *word == "approved") result.decision = runs::Decision::approved;
  const auto* rule = object->if_contains("rule");
  if (rule && rule->is_object()) result.rule = rule->get_object();
  if (!rule || !rule->is_object()) issues.wrong_type({"rule"}, "object", rule);
  if (const auto* reason = object->if_contains("reason"))
    result.reason = text_of(issues, {"reason"}, reason, {1, longest_rule_reason}).value_or("");
  check_keys(issues, {}, *object, {"decision", "rule", "reason"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

}  // namespace

base::Task<void> Api::list_rules(Call& call) {
  const auto run = call.run();
  const auto rules = co_await needs_.store.read_in(
      call.workspace, [&run](store::Reader& reader) { return runs::standing_rules(reader, run); });
  if (!rules) throw base::Failure(rules.error());
  std::string items;
  for (const auto& rule : *rules) items += (items.empty() ? "" : ",") + runs::to_wire(rule);
  co_await call.respond_json(200, "{\"items\":[" + items + "]}");
}

base::Task<void> Api::give_rule(Call& call) {
  const auto key = base::value_or_throw(call.idempotency_key());
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  auto request = base::value_or_throw(parse_standing_rule(*json_body));
  request.run = call.run();
  request.given_by = call.caller.key;
  request.idempotency_key = key;
  const auto given = co_await write(call, [&request, context = context()](store::Transaction& tx) {
    return runs::give_rule(tx, request, context);
  });
  if (!given) throw base::Failure(given.error());
  auto text = runs::to_wire(given->rule);
  text.pop_back();
  auto response = json_response(given->replayed ? 200 : 201,
                                text + ",\"decided\":" + std::to_string(given->decided) + "}");
  call.mark_replay(response, given->replayed);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::withdraw_rule(Call& call) {
  const auto run = call.run();
  const auto by = call.caller.key;
  const auto rule = co_await write(call, [&, context = context()](store::Transaction& tx) {
    return runs::withdraw_rule(tx, run, call.part_id, by, context);
  });
  if (!rule) throw base::Failure(rule.error());
  co_await call.respond_json(200, runs::to_wire(*rule));
}

}  // namespace agentrouter::api
