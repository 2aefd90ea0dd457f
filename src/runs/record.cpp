#include "runs/record.h"

#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

RunPhase phase_of(const model::Run& run, const std::optional<store::Attempt>& attempt, bool is_asking,
                  bool is_waiting) {
  if (model::is_terminal(run.status)) return {"ended", false};
  const bool closing = attempt && !attempt->closing.empty();
  if (closing || run.status == model::RunStatus::cancelling) return {"closing", false};
  if (run.status == model::RunStatus::queued) return {"queued", true};
  if (is_asking) return {"waiting_for_approval", true};
  if (is_waiting) return {"waiting_quota", true};
  return {run.status == model::RunStatus::starting ? "preparing" : "running", true};
}

json::object payload_of(const std::optional<model::Event>& event) {
  if (!event) return {};
  const auto payload = base::parse_json(event->payload, {.max_depth = 128});
  const auto* object = payload ? payload->if_object() : nullptr;
  return object == nullptr ? json::object{} : *object;
}

// Of a run whose last wait has not ended.
std::optional<QuotaWait> quota_wait(store::Reader& reader, const model::Run& run) {
  if (run.status != model::RunStatus::running) return std::nullopt;
  const auto waiting = reader.last_event_of_type(run.id, "run.waiting");
  if (!waiting) return std::nullopt;
  for (const auto* end : {"run.resumed", "run.attempt_started"}) {
    const auto after = reader.last_event_of_type(run.id, end);
    if (after && after->sequence > waiting->sequence) return std::nullopt;
  }
  const auto payload = payload_of(waiting);
  if (base::get_string(payload, "reason") == "storage_full") return std::nullopt;  // the server's disk, not a quota
  return QuotaWait{std::string(base::get_string(payload, "reason").value_or("")),
                   std::string(base::get_string(payload, "resumesAt").value_or(""))};
}

std::optional<PatchSummary> patch_of(store::Reader& reader, const model::RunId& id) {
  const auto patch = reader.last_event_of_type(id, "workspace.patch_collected");
  if (!patch || !patch->artifact_ref) return std::nullopt;
  const auto index = payload_of(reader.last_event_of_type(id, "workspace.file_index_collected"));
  return PatchSummary{*patch->artifact_ref, base::get_int(payload_of(patch), "bytes").value_or(0),
                      base::get_int(index, "fileCount").value_or(0)};
}

std::string isolation_of(store::Reader& reader, const model::RunId& id) {
  auto event = reader.last_event_of_type(id, "sandbox.created");
  if (!event) event = reader.last_event_of_type(id, "sandbox.resumed");
  return std::string(base::get_string(payload_of(event), "isolation").value_or(""));
}

std::string state_of(const store::Conversation& conversation, base::Time now) {
  if (conversation.state == store::ConversationState::closed) return "closed";
  return conversation.expires_at <= now ? "expired" : "open";
}

std::vector<std::string> operations_of(const RunRecord& record, const model::Run& latest) {
  std::vector<std::string> operations;
  if (record.phase.takes_wishes) operations.emplace_back("cancel");
  if (record.phase.takes_wishes && !record.pending.empty()) {
    operations.emplace_back("approve");
    operations.emplace_back("deny");
  }
  const bool open = record.conversation_state == "open";
  const bool review = is_review(record.run.runtime);
  if (open && model::is_terminal(latest.status) && !review) operations.emplace_back("continue");
  if (record.has_state && !review) operations.emplace_back("fork");
  if (open) operations.emplace_back("close");
  return operations;
}

void read_actions(store::Reader& reader, RunRecord& record) {
  record.actions = reader.actions(record.run.id, record_actions + 1);
  record.has_older_actions = record.actions.size() > record_actions;
  if (record.has_older_actions) record.actions.erase(record.actions.begin());
}

void read_origin(store::Reader& reader, RunRecord& record) {
  const auto& id = record.conversation.id;
  const auto newest = reader.latest_checkpoint(id, record.turns + 1);
  record.has_state = newest && newest->turn_number > 0;
  if (const auto first = reader.run(id)) record.forked_from = first->forked_from;
}

// Nothing as long as no server has said what it has.
std::optional<Unplaceable> placement_of(store::Reader& reader, const model::Run& run,
                                        const std::vector<std::string>& roots) {
  if (run.status != model::RunStatus::queued) return std::nullopt;
  const auto all = nodes(reader);
  return all.empty() ? std::nullopt : unplaceable(all, needs_of(run, roots));
}

}  // namespace

base::Result<RunRecord> run_record(store::Reader& reader, const model::RunId& id, base::Time now,
                                   const ConversationRules& rules, const std::vector<std::string>& roots) {
  auto run = reader.run(id);
  if (!run) return tl::unexpected(run_not_found(id));
  auto conversation = reader.conversation(run->conversation_id);
  const auto latest = reader.latest_turn(run->conversation_id);
  if (!conversation || !latest) {
    base::throw_failure(base::Code::corrupt, "the conversation of run " + id.str() + " is missing",
                        "store_corrupt");
  }
  RunRecord record;
  record.run = std::move(*run);
  record.attempt = reader.latest_attempt(id);
  record.pending = reader.pending_approvals(id);
  record.waiting = quota_wait(reader, record.run);
  record.phase = phase_of(record.run, record.attempt, !record.pending.empty(), record.waiting.has_value());
  if (record.phase.name != "waiting_quota") record.waiting.reset();
  if (const auto usage = reader.last_event_of_type(id, "usage.recorded")) record.usage = usage->payload;
  record.isolation = isolation_of(reader, id);
  record.spending = reader.spending(id);
  read_actions(reader, record);
  record.patch = patch_of(reader, id);
  record.artifacts = reader.artifacts(id);
  record.conversation = std::move(*conversation);
  record.conversation_state = state_of(record.conversation, now);
  record.turns = std::max(latest->turn_number, record.conversation.last_turn);
  read_origin(reader, record);
  record.published_turn2 = rules.published_turn2;
  record.operations = operations_of(record, *latest);
  record.unplaceable = placement_of(reader, record.run, roots);
  return record;
}

}  // namespace agentrouter::runs
