// The records of Transaction that need nothing but their own table.

#include "store/postgres/transaction.h"

namespace agentrouter::store::postgres {

void PgTransaction::put_artifact(const model::Artifact& artifact) {
  static constexpr Statement put{
      "put_artifact",
      "INSERT INTO artifacts (id, run_id, kind, r2_key, content_type, size_bytes, sha256, metadata, "
      "created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET run_id = "
      "excluded.run_id, kind = excluded.kind, r2_key = excluded.r2_key, content_type = "
      "excluded.content_type, size_bytes = excluded.size_bytes, sha256 = excluded.sha256, metadata = "
      "excluded.metadata, created_at = excluded.created_at"};
  tell(put, artifact.id, artifact.run_id, artifact.kind, artifact.r2_key, artifact.content_type,
       artifact.size_bytes, artifact.sha256, artifact.metadata, artifact.created_at);
}

void PgTransaction::put_conversation(const Conversation& conversation) {
  static constexpr Statement put{
      "put_conversation",
      "INSERT INTO conversations (id, session_id, state, created_at, closed_at, expires_at, reclaimed, "
      "last_turn, lost_turn) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET "
      "session_id = excluded.session_id, state = excluded.state, created_at = excluded.created_at, "
      "closed_at = excluded.closed_at, expires_at = excluded.expires_at, reclaimed = excluded.reclaimed, "
      "last_turn = excluded.last_turn, lost_turn = excluded.lost_turn"};
  tell(put, conversation.id, conversation.session_id, to_string(conversation.state), conversation.created_at,
       conversation.closed_at, conversation.expires_at, conversation.reclaimed, conversation.last_turn,
       conversation.lost_turn);
  if (conversation.state != ConversationState::closed || conversation.reclaimed) return;
  const auto first = tables_.place_of(conversation.id);  // it may have been deleted
  capture_.changes.push_back({conversation.id, first ? first->status : model::RunStatus::completed});
}

void PgTransaction::put_checkpoint(const Checkpoint& checkpoint) {
  static constexpr Statement put{
      "put_checkpoint",
      "INSERT INTO checkpoints (run_id, conversation_id, turn_number, key, size_bytes, sha256, thread_id, "
      "created_at, doomed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (conversation_id, "
      "turn_number) DO UPDATE SET run_id = excluded.run_id, key = excluded.key, size_bytes = "
      "excluded.size_bytes, sha256 = excluded.sha256, thread_id = excluded.thread_id, created_at = "
      "excluded.created_at, doomed = excluded.doomed"};
  tell(put, checkpoint.run_id, checkpoint.conversation_id, checkpoint.turn_number, checkpoint.key,
       checkpoint.size_bytes, checkpoint.sha256, checkpoint.thread_id, checkpoint.created_at,
       checkpoint.doomed);
}

void PgTransaction::delete_checkpoint(const model::RunId& conversation, int turn_number) {
  static constexpr Statement remove{
      "delete_checkpoint", "DELETE FROM checkpoints WHERE conversation_id = $1 AND turn_number = $2"};
  tell(remove, conversation, turn_number);
}

void PgTransaction::put_action(const ActionRecord& action) {
  static constexpr Statement put{
      "put_action",
      "INSERT INTO actions (run_id, action_id, action_digest, args_digest, name, target, proposed_seq, "
      "policy_seq, policy_decision, policy_reason, requested_seq, settled_seq, approval, approval_reason, "
      "started_seq, ended_seq, execution, execution_reason, exit_code, policy_id, policy_version, "
      "policy_rule, decided_by, duration_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
      "$13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24) ON CONFLICT (run_id, action_id) DO "
      "UPDATE SET action_digest = excluded.action_digest, args_digest = excluded.args_digest, name = "
      "excluded.name, target = excluded.target, proposed_seq = excluded.proposed_seq, policy_seq = "
      "excluded.policy_seq, policy_decision = excluded.policy_decision, policy_reason = "
      "excluded.policy_reason, requested_seq = excluded.requested_seq, settled_seq = excluded.settled_seq, "
      "approval = excluded.approval, approval_reason = excluded.approval_reason, started_seq = "
      "excluded.started_seq, ended_seq = excluded.ended_seq, execution = excluded.execution, "
      "execution_reason = excluded.execution_reason, exit_code = excluded.exit_code, policy_id = "
      "excluded.policy_id, policy_version = excluded.policy_version, policy_rule = excluded.policy_rule, "
      "decided_by = excluded.decided_by, duration_ms = excluded.duration_ms"};
  tell(put, action.run_id, action.action_id, action.action_digest, action.args_digest, action.name,
       action.target, action.proposed_seq, action.policy_seq, action.policy_decision, action.policy_reason,
       action.requested_seq, action.settled_seq, action.approval, action.approval_reason, action.started_seq,
       action.ended_seq, action.execution, action.execution_reason, action.exit_code, action.policy_id,
       action.policy_version, action.policy_rule, action.decided_by, action.duration_ms);
}

void PgTransaction::put_approval(const Approval& approval) {
  static constexpr Statement put{
      "put_approval",
      "INSERT INTO approvals (run_id, action_id, action_digest, args_digest, request_id, "
      "requested_event_id, state, reason, decided_seq, delivered, expires_at, decided_by, requested_at, "
      "workspace_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
      "coalesce((SELECT workspace_id FROM runs WHERE id = $1), 'default')) ON CONFLICT (run_id, action_id) "
      "DO "
      "UPDATE SET action_digest = excluded.action_digest, args_digest = excluded.args_digest, request_id = "
      "excluded.request_id, requested_event_id = excluded.requested_event_id, state = excluded.state, "
      "reason = excluded.reason, decided_seq = excluded.decided_seq, delivered = excluded.delivered, "
      "expires_at = excluded.expires_at, decided_by = excluded.decided_by, requested_at = "
      "excluded.requested_at"};
  tell(put, approval.run_id, approval.action_id, approval.action_digest, approval.args_digest,
       approval.request_id, approval.requested_event_id, to_string(approval.state), approval.reason,
       approval.decided_seq, approval.delivered, approval.expires_at, approval.decided_by,
       approval.requested_at);
}

int PgTransaction::change_attempt(const model::AttemptId& id, const Statement& statement,
                                  const Parameters& parameters) {
  try {
    return static_cast<int>(tables_.ask_with(statement, parameters).affected());
  } catch (const Refused& refused) {
    if (refused.sqlstate() != fence_refused) throw;
    base::throw_failure(base::Code::conflict,
                        "the lease of attempt " + id.str() + " was lost to another worker", "lease_lost");
  }
}

void PgTransaction::insert_attempt(const Attempt& attempt) {
  static constexpr Statement insert{
      "insert_attempt",
      "INSERT INTO attempts (id, run_id, number, worker_id, token, lease_until, slot, journal_offset, "
      "open, lower_path, closing, created_at, beats, host, launched) VALUES ($1, $2, $3, $4, $5, $6, $7, "
      "$8, $9, $10, $11, $12, $13, $14, $15)"};
  change_attempt(
      attempt.id, insert,
      values(attempt.id, attempt.run_id, attempt.number, attempt.worker_id, attempt.token,
             attempt.lease_until, attempt.slot, attempt.journal_offset, attempt.open, attempt.lower_path,
             attempt.closing, attempt.created_at, attempt.beats, attempt.host, attempt.launched));
}

void PgTransaction::update_attempt(const Attempt& attempt) {
  static constexpr Statement update{
      "update_attempt",
      "UPDATE attempts SET worker_id = $1, token = $2, lease_until = $3, slot = $4, journal_offset = $5, "
      "open = $6, lower_path = $7, closing = $8, beats = $9, host = $10, launched = $11 WHERE id = $12"};
  const int changed =
      change_attempt(attempt.id, update,
                     values(attempt.worker_id, attempt.token, attempt.lease_until, attempt.slot,
                            attempt.journal_offset, attempt.open, attempt.lower_path, attempt.closing,
                            attempt.beats, attempt.host, attempt.launched, attempt.id));
  if (changed == 0)
    base::throw_failure(base::Code::not_found, "no attempt " + attempt.id.str(), "attempt_not_found");
}

int PgTransaction::free_slot() {
  static constexpr Statement slots{"open_slots", "SELECT slot FROM attempts WHERE open = 1 ORDER BY slot"};
  int free = 0;
  for (const auto row : tables_.ask(slots)) {
    if (row.integer(0) != free) break;
    ++free;
  }
  return free;
}

void PgTransaction::put_idempotency_key(const IdempotencyKey& key) {
  static constexpr Statement put{
      "put_idempotency_key",
      "INSERT INTO idempotency_keys (key_hash, body_hash, run_id, expires_at, event_seq) VALUES ($1, $2, "
      "$3, $4, $5) ON CONFLICT (key_hash) DO UPDATE SET body_hash = excluded.body_hash, run_id = "
      "excluded.run_id, expires_at = excluded.expires_at, event_seq = excluded.event_seq"};
  tell(put, key.key_hash, key.body_hash, key.run_id, key.expires_at, key.event_seq);
}

int PgTransaction::purge_idempotency_keys(base::Time expired_before, int limit) {
  static constexpr Statement purge{
      "purge_idempotency_keys",
      "DELETE FROM idempotency_keys WHERE key_hash = ANY (ARRAY(SELECT key_hash FROM idempotency_keys "
      "WHERE expires_at < $1 ORDER BY expires_at LIMIT $2))"};
  return change(purge, expired_before, limit);
}

void PgTransaction::put_upload(const Upload& upload) {
  static constexpr Statement put{
      "put_upload",
      "INSERT INTO uploads (id, sha256, size_bytes, tree, files, created_at, expires_at, workspace_id) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, "
      "size_bytes = "
      "excluded.size_bytes, tree = excluded.tree, files = excluded.files, created_at = "
      "excluded.created_at, expires_at = excluded.expires_at"};
  tell(put, upload.id, upload.sha256, upload.size_bytes, upload.tree, upload.files, upload.created_at,
       upload.expires_at, upload.workspace_id);
}

void PgTransaction::purge_uploads(base::Time now) {
  static constexpr Statement purge{"purge_uploads", "DELETE FROM uploads WHERE expires_at <= $1"};
  tell(purge, now);
}

}  // namespace agentrouter::store::postgres
