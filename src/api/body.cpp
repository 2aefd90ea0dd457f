#include "api/body.h"

#include <limits>

#include "api/schema.h"
#include "model/defaults.h"

namespace agentrouter::api {

namespace {

const Names approval_modes{"auto", "manual", "block"};
constexpr Bounds turn_bounds{1, std::numeric_limits<int>::max()};

std::string message_of(Issues& issues, const json::object& body) {
  const auto limit = static_cast<std::int64_t>(model::defaults::task_chars);
  return text_of(issues, {"message"}, body.if_contains("message"), {1, limit}).value_or("");
}

}  // namespace

std::optional<model::ApprovalMode> approval_mode_of(Issues& issues, const json::value* value) {
  return model::parse_approval_mode(choice_of(issues, {"approvalMode"}, value, approval_modes, ""));
}

base::Result<DecisionBody> parse_decision_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  DecisionBody result;
  if (auto digest = text_of(issues, {"actionDigest"}, object->if_contains("actionDigest"), {8, 256})) {
    if (!digest->starts_with("sha256:")) issues.bad_format({"actionDigest"}, "/^sha256:.+$/");
    result.action_digest = std::move(*digest);
  }
  if (const auto* reason = object->if_contains("reason"))
    result.reason = text_of(issues, {"reason"}, reason, {1, 1000}).value_or("");
  check_keys(issues, {}, *object, {"actionDigest", "reason"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<MessageBody> parse_message_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  MessageBody result;
  result.message = message_of(issues, *object);
  result.approval_mode = approval_mode_of(issues, object->if_contains("approvalMode"));
  check_keys(issues, {}, *object, {"message", "approvalMode"});
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
  check_keys(issues, {}, *object, {"message", "atTurn"});
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
