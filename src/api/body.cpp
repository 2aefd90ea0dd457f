#include "api/body.h"

#include <limits>

#include "api/schema.h"
#include "model/defaults.h"

namespace agentrouter::api {

namespace {

const Names approval_modes{"auto", "manual", "block"};
const Names approval_scopes{"run", "action"};
const Names decisions{"approved", "denied"};
constexpr std::size_t max_decisions = 100;
constexpr std::size_t max_input_bytes = 16u << 10;
constexpr Bounds turn_bounds{1, std::numeric_limits<int>::max()};

Path within(Path path, const char* key) {
  path.emplace_back(key);
  return path;
}

DecisionBody decision_of(Issues& issues, const Path& path, const json::object& object) {
  DecisionBody result;
  const auto digest_path = within(path, "actionDigest");
  if (auto digest = text_of(issues, digest_path, object.if_contains("actionDigest"), {8, 256})) {
    if (!digest->starts_with("sha256:")) issues.bad_format(digest_path, "/^sha256:.+$/");
    result.action_digest = std::move(*digest);
  }
  if (const auto* reason = object.if_contains("reason"))
    result.reason = text_of(issues, within(path, "reason"), reason, {1, 1000}).value_or("");
  return result;
}

DecisionsBody::One one_decision(Issues& issues, const Path& path, const json::object& object) {
  auto decision = decision_of(issues, path, object);
  const auto word_path = within(path, "decision");
  const auto word = choice_of(issues, word_path, object.if_contains("decision"), decisions, "");
  if (!object.contains("decision")) issues.not_one_of(word_path, decisions);
  check_keys(issues, path, object, {"actionId", "actionDigest", "decision", "reason"});
  return {.action_id =
              text_of(issues, within(path, "actionId"), object.if_contains("actionId"), {1, 256}).value_or(""),
          .action_digest = std::move(decision.action_digest),
          .approved = word == "approved",
          .reason = std::move(decision.reason)};
}

std::string message_of(Issues& issues, const json::object& body) {
  const auto limit = static_cast<std::int64_t>(model::defaults::task_chars);
  return text_of(issues, {"message"}, body.if_contains("message"), {1, limit}).value_or("");
}

}  // namespace

std::optional<model::ApprovalMode> approval_mode_of(Issues& issues, const json::value* value) {
  return model::parse_approval_mode(choice_of(issues, {"approvalMode"}, value, approval_modes, ""));
}

std::optional<model::ApprovalScope> approval_scope_of(Issues& issues, const json::value* value) {
  return model::parse_approval_scope(choice_of(issues, {"approvalScope"}, value, approval_scopes, ""));
}

base::Result<DecisionBody> parse_decision_body(const json::value& body, DecisionVerb verb) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  auto result = decision_of(issues, {}, *object);
  const bool approves = verb == DecisionVerb::approve;
  const auto* input = approves ? object->if_contains("updatedInput") : nullptr;
  if (input && !input->is_object()) {
    issues.wrong_type({"updatedInput"}, "record", input);
  } else if (input && base::to_text(*input).size() > max_input_bytes) {
    issues.other({"updatedInput"}, "Too big: expected at most 16 KiB of JSON");
  } else if (input) {
    result.updated_input = input->get_object();
  }
  check_keys(issues, {}, *object,
             approves ? Names{"actionDigest", "reason", "updatedInput"} : Names{"actionDigest", "reason"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<DecisionsBody> parse_decisions_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  check_keys(issues, {}, *object, {"decisions"});
  const auto* value = object->if_contains("decisions");
  const auto* list = value ? value->if_array() : nullptr;
  if (!list) {
    issues.wrong_type({"decisions"}, "array", value);
  } else if (list->empty() || list->size() > max_decisions) {
    issues.other({"decisions"}, "Invalid number of decisions: expected 1 to 100");
  }
  DecisionsBody result;
  for (std::size_t i = 0; issues.empty() && i < list->size(); ++i) {
    const Path path{"decisions", std::to_string(i)};
    if (const auto* one = object_of(issues, path, (*list)[i]))
      result.decisions.push_back(one_decision(issues, path, *one));
  }
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

policy::RunLimits limits_of(Issues& issues, const json::value* value) {
  policy::RunLimits limits;
  const auto* object = value ? object_of(issues, {"limits"}, *value) : nullptr;
  if (!object) return limits;
  Names names;
  for (const auto& field : policy::limit_fields()) {
    names.push_back(field.name);
    const auto* asked = object->if_contains(field.name);
    if (!asked) continue;
    const Path path{"limits", std::string(field.name)};
    if (field.member != &policy::RunLimits::cost) {
      limits.*field.member = integer_of(issues, path, *asked, {field.least, field.most});
      continue;
    }
    if (!asked->is_number()) {
      issues.wrong_type(path, "number", asked);
      continue;
    }
    const auto cost = policy::parts_of(asked->to_number<double>(), policy::nano_per_usd);
    if (!cost || *cost < field.least) {
      issues.other(path, "Invalid amount: expected US dollars from 0.000001 to 1000000");
    } else {
      limits.cost = cost;
    }
  }
  check_keys(issues, {"limits"}, *object, names);
  return limits;
}

base::Result<MessageBody> parse_message_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  MessageBody result;
  result.message = message_of(issues, *object);
  result.approval_mode = approval_mode_of(issues, object->if_contains("approvalMode"));
  result.approval_scope = approval_scope_of(issues, object->if_contains("approvalScope"));
  result.limits = limits_of(issues, object->if_contains("limits"));
  check_keys(issues, {}, *object, {"message", "approvalMode", "approvalScope", "limits"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<ForkBody> parse_fork_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  ForkBody result;
  result.message = message_of(issues, *object);
  if (const auto* turn = object->if_contains("atTurn"))
    result.at_turn = static_cast<int>(integer_of(issues, {"atTurn"}, *turn, turn_bounds).value_or(1));
  result.limits = limits_of(issues, object->if_contains("limits"));
  check_keys(issues, {}, *object, {"message", "atTurn", "limits"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<void> parse_empty_body(const json::value& body) {
  Issues issues;
  if (const auto* object = object_of(issues, {}, body)) check_keys(issues, {}, *object, {});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return {};
}

}  // namespace agentrouter::api
