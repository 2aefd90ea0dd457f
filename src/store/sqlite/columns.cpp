#include "store/sqlite/columns.h"

namespace agentrouter::store {

namespace {

model::Tags parse_tags(const std::string& text) {
  model::Tags tags;
  if (text.empty()) return tags;
  const auto value = base::value_or_throw(base::parse_json(text));
  if (const auto* object = value.if_object()) {
    for (const auto& [name, tag] : *object) {
      if (tag.is_string()) tags.emplace_back(name, std::string_view(tag.get_string()));
    }
  }
  return tags;
}

}  // namespace

base::Time time_at(const Statement& row, int column) {
  return base::Time(std::chrono::milliseconds(row.integer(column)));
}

std::optional<base::Time> maybe_time(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return time_at(row, column);
}

std::string tags_text(const model::Tags& tags) {
  if (tags.empty()) return {};
  json::object object;
  for (const auto& [name, value] : tags) object[name] = value;
  return base::to_text(object);
}

model::Run read_run(const Statement& row) {
  model::Run run;
  run.id = model::RunId(row.text(0));
  const auto status = model::parse_run_status(row.text(1));
  const auto mode = model::parse_approval_mode(row.text(5));
  if (!status || !mode) {
    base::throw_failure(base::Code::corrupt, "cannot read run " + run.id.str() + ": unknown state",
                        "store_corrupt");
  }
  run.status = *status;
  run.runtime.kind = row.text(2) == to_string(model::RuntimeKind::codex) ? model::RuntimeKind::codex
                                                                         : model::RuntimeKind::claude_code;
  run.runtime.mode = row.text(3);
  if (!row.is_null(4)) run.runtime.model = row.text(4);
  run.approval_mode = *mode;
  run.last_event_seq = row.integer(6);
  if (!row.is_null(7)) run.session_id = model::SessionId(row.text(7));
  run.conversation_id = model::RunId(row.text(8));
  run.queued_at = time_at(row, 9);
  run.started_at = maybe_time(row, 10);
  run.completed_at = maybe_time(row, 11);
  run.cancel_requested_at = maybe_time(row, 12);
  if (!row.is_null(13)) run.failure = model::RunFailure{row.text(13), row.text(14), row.text(15)};
  if (!row.is_null(16)) run.workspace = base::value_or_throw(model::Workspace::from_json_text(row.text(16)));
  run.priority = static_cast<int>(row.integer(17));
  run.attempts = static_cast<int>(row.integer(18));
  run.turn_number = static_cast<int>(row.integer(19));
  run.turn_id = row.text(20);
  run.tags = parse_tags(row.text(21));
  if (!row.is_null(22)) run.approval_timeout = std::chrono::seconds(row.integer(22));
  run.task = row.text(23);
  run.input = row.text(24);
  if (!row.is_null(25)) {
    run.forked_from = model::ForkOrigin{model::RunId(row.text(25)), model::RunId(row.text(26)),
                                        static_cast<int>(row.integer(27))};
  }
  run.workspace_id = row.text(28);
  return run;
}

model::Event read_event(const Statement& row, const model::RunId& run) {
  model::Event event;
  event.run_id = run;
  event.sequence = row.integer(0) & 0xffffffff;
  event.type = row.text(1);
  event.source = model::parse_event_source(row.text(2));
  event.visibility = model::parse_visibility(row.text(3));
  event.provider_event_type = row.text(4);
  event.payload = row.text(5);
  if (!row.is_null(6)) event.artifact_ref = model::ArtifactRef{model::ArtifactId(row.text(6)), row.text(7)};
  event.truncated = row.integer(8) != 0;
  event.created_at = time_at(row, 9);
  return event;
}

model::Artifact read_artifact(const Statement& row) {
  model::Artifact artifact;
  artifact.id = model::ArtifactId(row.text(0));
  artifact.run_id = model::RunId(row.text(1));
  artifact.kind = row.text(2);
  artifact.r2_key = row.text(3);
  artifact.content_type = row.text(4);
  artifact.size_bytes = row.integer(5);
  artifact.sha256 = row.text(6);
  artifact.metadata = row.text(7);
  artifact.created_at = time_at(row, 8);
  return artifact;
}

Approval read_approval(const Statement& row) {
  Approval approval;
  approval.run_id = model::RunId(row.text(0));
  approval.action_id = model::ActionId(row.text(1));
  approval.action_digest = row.text(2);
  approval.args_digest = row.text(3);
  approval.request_id = row.text(4);
  approval.requested_event_id = row.text(5);
  // A state that this version does not know must never look like one that allows something.
  approval.state = parse_approval_state(row.text(6)).value_or(ApprovalState::void_);
  approval.reason = row.text(7);
  approval.decided_seq = row.integer(8);
  approval.delivered = row.integer(9) != 0;
  approval.expires_at = maybe_time(row, 10);
  approval.decided_by = row.text(11);
  approval.requested_at = time_at(row, 12);
  approval.number = row.integer(13);
  return approval;
}

Attempt read_attempt(const Statement& row) {
  Attempt attempt;
  attempt.id = model::AttemptId(row.text(0));
  attempt.run_id = model::RunId(row.text(1));
  attempt.number = static_cast<int>(row.integer(2));
  attempt.worker_id = row.text(3);
  attempt.token = row.integer(4);
  attempt.lease_until = time_at(row, 5);
  attempt.slot = static_cast<int>(row.integer(6));
  attempt.journal_offset = row.integer(7);
  attempt.open = row.integer(8) != 0;
  attempt.lower_path = row.text(9);
  attempt.closing = row.text(10);
  attempt.created_at = time_at(row, 11);
  attempt.beats = row.integer(12);
  attempt.host = row.text(13);
  attempt.launched = row.integer(14) != 0;
  return attempt;
}

Conversation read_conversation(const Statement& row) {
  Conversation conversation;
  conversation.id = model::RunId(row.text(0));
  if (!row.is_null(1)) conversation.session_id = model::SessionId(row.text(1));
  // Only what is known to be open is continued.
  conversation.state = row.text(2) == "open" ? ConversationState::open : ConversationState::closed;
  conversation.created_at = time_at(row, 3);
  conversation.closed_at = maybe_time(row, 4);
  conversation.expires_at = time_at(row, 5);
  conversation.reclaimed = row.integer(6) != 0;
  conversation.last_turn = static_cast<int>(row.integer(7));
  conversation.lost_turn = static_cast<int>(row.integer(8));
  return conversation;
}

Checkpoint read_checkpoint(const Statement& row) {
  Checkpoint checkpoint;
  checkpoint.run_id = model::RunId(row.text(0));
  checkpoint.conversation_id = model::RunId(row.text(1));
  checkpoint.turn_number = static_cast<int>(row.integer(2));
  checkpoint.key = row.text(3);
  checkpoint.size_bytes = row.integer(4);
  checkpoint.sha256 = row.text(5);
  checkpoint.thread_id = row.text(6);
  checkpoint.created_at = time_at(row, 7);
  checkpoint.doomed = row.integer(8) != 0;
  return checkpoint;
}

Upload read_upload(const Statement& row) {
  Upload upload;
  upload.id = row.text(0);
  upload.sha256 = row.text(1);
  upload.size_bytes = row.integer(2);
  upload.tree = row.text(3);
  upload.files = row.integer(4);
  upload.created_at = time_at(row, 5);
  upload.expires_at = time_at(row, 6);
  upload.workspace_id = row.text(7);
  return upload;
}

ActionRecord read_action(const Statement& row) {
  ActionRecord action;
  action.run_id = model::RunId(row.text(0));
  action.action_id = model::ActionId(row.text(1));
  action.action_digest = row.text(2);
  action.args_digest = row.text(3);
  action.name = row.text(4);
  action.target = row.text(5);
  action.proposed_seq = row.integer(6);
  action.policy_seq = row.integer(7);
  action.policy_decision = row.text(8);
  action.policy_reason = row.text(9);
  action.requested_seq = row.integer(10);
  action.settled_seq = row.integer(11);
  action.approval = row.text(12);
  action.approval_reason = row.text(13);
  action.started_seq = row.integer(14);
  action.ended_seq = row.integer(15);
  action.execution = row.text(16);
  action.execution_reason = row.text(17);
  if (!row.is_null(18)) action.exit_code = row.integer(18);
  action.policy_id = row.text(19);
  action.policy_version = row.text(20);
  action.policy_rule = row.text(21);
  action.decided_by = row.text(22);
  if (!row.is_null(23)) action.duration_ms = row.integer(23);
  return action;
}

}  // namespace agentrouter::store
