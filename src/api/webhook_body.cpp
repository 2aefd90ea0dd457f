#include "api/webhook_body.h"

#include "api/schema.h"

namespace agentrouter::api {

namespace {

constexpr std::size_t most_events = 32;
constexpr std::int64_t longest_url = 2048;
constexpr std::int64_t longest_description = 200;
constexpr std::int64_t longest_secret = 120;

std::vector<std::string> events_of(Issues& issues, const json::value* value) {
  std::vector<std::string> events;
  const auto* list = value ? value->if_array() : nullptr;
  if (!list) {
    issues.wrong_type({"events"}, "array", value);
    return events;
  }
  if (list->empty() || list->size() > most_events) {
    issues.other({"events"}, "Invalid number of events: expected 1 to 32");
    return events;
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Path path{"events", std::to_string(i)};
    const auto* text = (*list)[i].if_string();
    if (text && webhooks::is_event_choice(*text)) {
      events.emplace_back(*text);
    } else {
      issues.other(path, "Invalid event: expected a type such as \"approval.requested\", or \"run.*\", "
                         "\"approval.*\" or \"*\"");
    }
  }
  return events;
}

std::string secret_text(Issues& issues, const json::object& object) {
  const auto* value = object.if_contains("secret");
  return value ? text_of(issues, {"secret"}, value, {1, longest_secret}).value_or("") : std::string();
}

}  // namespace

base::Result<webhooks::NewWebhook> parse_new_webhook(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  webhooks::NewWebhook result;
  result.url = text_of(issues, {"url"}, object->if_contains("url"), {1, longest_url}).value_or("");
  result.events = events_of(issues, object->if_contains("events"));
  if (const auto* text = object->if_contains("description"))
    result.description = text_of(issues, {"description"}, text, {0, longest_description}).value_or("");
  result.secret = secret_text(issues, *object);
  check_keys(issues, {}, *object, {"url", "events", "description", "secret"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<webhooks::WebhookChange> parse_webhook_change(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  webhooks::WebhookChange result;
  if (const auto* url = object->if_contains("url"))
    result.url = text_of(issues, {"url"}, url, {1, longest_url});
  if (const auto* events = object->if_contains("events")) result.events = events_of(issues, events);
  if (const auto* text = object->if_contains("description"))
    result.description = text_of(issues, {"description"}, text, {0, longest_description});
  if (const auto* enabled = object->if_contains("enabled")) {
    if (!enabled->is_bool()) issues.wrong_type({"enabled"}, "boolean", enabled);
    if (enabled->is_bool()) result.enabled = enabled->get_bool();
  }
  check_keys(issues, {}, *object, {"url", "events", "description", "enabled"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Result<std::string> parse_rotation(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  auto secret = secret_text(issues, *object);
  check_keys(issues, {}, *object, {"secret"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return secret;
}

}  // namespace agentrouter::api
