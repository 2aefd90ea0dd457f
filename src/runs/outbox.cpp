#include "runs/outbox.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace agentrouter::runs {

namespace {

// Events that are told as they are.
constexpr std::array<std::string_view, 10> told{
    "approval.decided", "approval.expired", "approval.withdrawn", "limit.exceeded", "limit.warning",
    "run.cancelled",    "run.completed",    "run.failed",         "run.resumed",    "run.waiting"};

std::optional<model::RunStatus> status_after(std::string_view type) {
  if (!type.starts_with("run.")) return std::nullopt;
  const auto status = model::parse_run_status(type.substr(4));
  return status && model::is_terminal(*status) ? status : std::nullopt;
}

json::object tags_of(const model::Run& run) {
  json::object tags;
  for (const auto& [name, value] : run.tags) tags[name] = value;
  return tags;
}

json::object data_of(const model::Run& run, const Notice& notice) {
  json::object data{{"runId", run.id.str()},
                    {"conversationId", run.conversation_id.str()},
                    {"turnNumber", run.turn_number},
                    {"runtime", to_string(run.runtime.kind)},
                    {"status", to_string(notice.status.value_or(run.status))},
                    {"title", title_of(run.task)}};
  if (!run.tags.empty()) data["tags"] = tags_of(run);
  for (const auto& [name, value] : notice.about) data[name] = value;
  return data;
}

void copy(const json::object& from, std::initializer_list<std::string_view> names, json::object& to) {
  for (const auto name : names) {
    if (const auto* value = from.if_contains(name); value != nullptr && value->is_primitive())
      to[name] = *value;
  }
}

}  // namespace

const std::vector<std::string_view>& notice_types() {
  static const auto types = [] {
    std::vector<std::string_view> all(told.begin(), told.end());
    for (const auto* type : {"approval.requested", "run.created", "run.deleted", "run.started"})
      all.emplace_back(type);
    std::sort(all.begin(), all.end());
    return all;
  }();
  return types;
}

bool wants(const store::Webhook& webhook, std::string_view type) {
  return webhook.enabled &&
         std::any_of(webhook.events.begin(), webhook.events.end(), [&](const std::string& wanted) {
           if (!wanted.ends_with("*")) return wanted == type;
           return type.starts_with(std::string_view(wanted).substr(0, wanted.size() - 1));
         });
}

store::Delivery make_delivery(const store::Webhook& webhook, std::string_view key, std::string_view type,
                              const json::object& data, base::Time at) {
  store::Delivery delivery;
  delivery.id = "msg_" + base::uuid_from_text(webhook.id + "/" + std::string(type) + "/" + std::string(key));
  delivery.webhook_id = webhook.id;
  delivery.type = type;
  delivery.run_id = model::RunId(std::string(base::get_string(data, "runId").value_or("")));
  delivery.body =
      base::to_text(json::object{{"type", type}, {"timestamp", base::to_iso(at)}, {"data", data}});
  delivery.created_at = at;
  delivery.next_at = at;
  return delivery;
}

void notify(store::Transaction& tx, const Notice& notice) {
  std::optional<json::object> data;
  for (const auto& webhook : tx.webhooks_of(tx.workspace_of(notice.run))) {
    if (!wants(webhook, notice.type)) continue;
    if (!data) {
      const auto run = tx.run(notice.run);
      if (!run) return;
      data = data_of(*run, notice);
    }
    const auto delivery =
        make_delivery(webhook, notice.run.str() + "/" + notice.key, notice.type, *data, notice.at);
    if (!tx.delivery(delivery.id)) tx.put_delivery(delivery);
  }
}

bool has_notice(std::string_view event_type) {
  return std::binary_search(told.begin(), told.end(), event_type);
}

void notify_event(store::Transaction& tx, const model::Event& event, const json::value& payload) {
  json::object about{{"sequence", event.sequence}};
  if (const auto* object = payload.if_object()) {
    copy(*object,
         {"actionId", "actionDigest", "decision", "decidedBy", "code", "cause", "limit", "percent", "used",
          "max"},
         about);
    if (event.type == "run.waiting") copy(*object, {"reason", "resumesAt"}, about);
  }
  notify(tx, {.type = event.type,
              .run = event.run_id,
              .key = std::to_string(event.sequence),
              .at = event.created_at,
              .status = status_after(event.type),
              .about = std::move(about)});
}

std::string title_of(std::string_view text, std::size_t most) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  text.remove_prefix(begin);
  return std::string(base::cut_utf16(text.substr(0, text.find_first_of("\r\n")), most));
}

}  // namespace agentrouter::runs
