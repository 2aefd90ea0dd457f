#include "runs/audit.h"

#include <algorithm>
#include <array>

namespace agentrouter::runs {

namespace {

constexpr std::array<std::string_view, 17> audited{
    "action.edited",       "action.proposed",     "approval.decided",        "approval.expired",
    "approval.requested",  "approval.rule_given", "approval.rule_withdrawn", "approval.withdrawn",
    "execution.completed", "execution.failed",    "execution.started",       "limit.exceeded",
    "policy.evaluated",    "policy.tightened",    "run.cancelled",           "run.completed",
    "run.failed"};

std::string text_of(const json::object& payload, std::string_view key) {
  return std::string(base::get_string(payload, key).value_or(""));
}

void add(store::Transaction& tx, model::AuditEntry entry) {
  const auto head = tx.audit_head(entry.workspace);
  entry.number = (head ? head->number : 0) + 1;
  entry.previous = head ? head->hash : model::audit_origin();
  entry.hash = model::audit_hash(entry.to_json());
  tx.append_audit(entry);
}

}  // namespace

bool is_audited(std::string_view type) {
  return std::binary_search(audited.begin(), audited.end(), type);
}

void audit_event(store::Transaction& tx, const model::Event& event, const json::value& payload,
                 std::string_view who) {
  static const json::object nothing;
  const auto& object = payload.is_object() ? payload.get_object() : nothing;
  model::AuditEntry entry;
  entry.workspace = tx.workspace_of(event.run_id);
  entry.time = event.created_at;
  entry.run_id = event.run_id;
  entry.sequence = event.sequence;
  entry.event_id = text_of(object, "eventId");
  entry.type = event.type;
  entry.actor = text_of(object, "actor");
  if (entry.actor.empty()) entry.actor = "system";
  entry.who = text_of(object, "decidedBy");
  if (entry.who.empty()) entry.who = who;
  entry.action_id = text_of(object, "actionId");
  entry.action_digest = text_of(object, "actionDigest");
  entry.payload_digest = base::json_digest(payload);
  add(tx, std::move(entry));
}

void audit_run(store::Transaction& tx, const model::Run& run, std::string_view by) {
  const auto input = base::parse_json(run.input, {.max_depth = 128});
  model::AuditEntry entry;
  entry.workspace = run.workspace_id;
  entry.time = run.queued_at;
  entry.run_id = run.id;
  entry.type = "run.created";
  entry.actor = "human";
  entry.who = by;
  entry.payload_digest = base::json_digest(input ? *input : json::value(run.input));
  add(tx, std::move(entry));
}

void audit_deletion(store::Transaction& tx, const model::Run& run, std::string_view reason,
                    std::string_view by, base::Time now) {
  model::AuditEntry entry;
  entry.workspace = run.workspace_id;
  entry.time = now;
  entry.run_id = run.id;
  entry.type = "run.deleted";
  entry.actor = reason == "request" ? "human" : "system";
  entry.who = by;
  entry.payload_digest = base::json_digest(json::object{{"runId", run.id.str()},
                                                        {"conversationId", run.conversation_id.str()},
                                                        {"turnNumber", run.turn_number},
                                                        {"lastEventSeq", run.last_event_seq},
                                                        {"reason", reason}});
  add(tx, std::move(entry));
}

void audit_access(store::Transaction& tx, const AccessChange& change) {
  model::AuditEntry entry;
  entry.workspace = change.workspace;
  entry.time = change.at;
  entry.type = change.type;
  entry.actor = "human";
  entry.who = change.by;
  entry.payload_digest = base::json_digest(change.about);
  add(tx, std::move(entry));
}

std::string audit_page(store::Reader& reader, std::int64_t after, int limit) {
  std::string items;
  auto next = after;
  const auto workspace = reader.home();
  for (const auto& entry : reader.audit(workspace, after, limit)) {
    items += (items.empty() ? "" : ",") + base::to_canonical(entry.to_json());
    next = entry.number;
  }
  const auto head = reader.audit_head(workspace);
  const auto head_text =
      head ? base::to_text(json::object{{"number", head->number}, {"hash", head->hash}}) : "null";
  return "{\"items\":[" + items + "],\"nextAfter\":" + std::to_string(next) + ",\"head\":" + head_text + "}";
}

}  // namespace agentrouter::runs
