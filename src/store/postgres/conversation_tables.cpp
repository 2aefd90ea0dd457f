// The queries of Tables about conversations, deadlines, uploads and actions.

#include <algorithm>

#include "store/postgres/tables.h"

namespace agentrouter::store::postgres {

namespace {

std::optional<base::Time> earliest(const Rows& rows) {
  if (rows.empty()) return std::nullopt;
  return Cells(rows.front()).maybe_time(0);
}

}  // namespace

std::optional<Conversation> Tables::conversation(const model::RunId& id) {
  static constexpr Statement find{"conversation", PG_CONVERSATION_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_conversation);
}

std::vector<model::Run> Tables::turns(const model::RunId& conversation) {
  static constexpr Statement find{"turns", PG_RUN_COLUMNS "WHERE conversation_id = $1 ORDER BY turn_number"};
  return all(ask(find, conversation), read_run);
}

std::optional<model::Run> Tables::latest_turn(const model::RunId& conversation) {
  static constexpr Statement find{
      "latest_turn", PG_RUN_COLUMNS "WHERE conversation_id = $1 ORDER BY turn_number DESC LIMIT 1"};
  return one(ask(find, conversation), read_run);
}

std::optional<model::Run> Tables::turn(const model::RunId& conversation, int number) {
  static constexpr Statement find{"turn", PG_RUN_COLUMNS "WHERE conversation_id = $1 AND turn_number = $2"};
  return one(ask(find, conversation, number), read_run);
}

std::optional<Checkpoint> Tables::latest_checkpoint(const model::RunId& conversation, int before_turn) {
  static constexpr Statement find{"latest_checkpoint", PG_CHECKPOINT_COLUMNS
                                  "WHERE conversation_id = $1 AND turn_number < $2 AND doomed = 0 "
                                  "ORDER BY turn_number DESC LIMIT 1"};
  return one(ask(find, conversation, before_turn), read_checkpoint);
}

std::vector<Checkpoint> Tables::checkpoints(const model::RunId& conversation) {
  static constexpr Statement find{"checkpoints",
                                  PG_CHECKPOINT_COLUMNS "WHERE conversation_id = $1 ORDER BY turn_number"};
  return all(ask(find, conversation), read_checkpoint);
}

bool Tables::is_shared(const Checkpoint& checkpoint) {
  static constexpr Statement find{
      "checkpoint_is_shared",
      "SELECT 1 FROM checkpoints WHERE key = $1 AND conversation_id <> $2 AND doomed = 0 LIMIT 1"};
  return !ask(find, checkpoint.key, checkpoint.conversation_id).empty();
}

std::vector<Conversation> Tables::conversations_to_reclaim(base::Time now, int limit) {
  static constexpr Statement find{
      "conversations_to_reclaim",
      PG_CONVERSATION_COLUMNS "WHERE reclaimed = 0 AND expires_at <= $1 ORDER BY expires_at, id LIMIT $2"};
  return all(ask(find, now, limit), read_conversation);
}

std::optional<base::Time> Tables::next_conversation_expiry() {
  static constexpr Statement find{"next_conversation_expiry",
                                  "SELECT expires_at FROM conversations WHERE reclaimed = 0 AND expires_at < "
                                  "$1 ORDER BY expires_at LIMIT 1"};
  return earliest(ask(find, never));
}

std::vector<Approval> Tables::pending_approvals(const std::string& scope, const PendingQuery& query) {
  static constexpr Statement within{
      "pending_approvals_page_of_workspace",
      PG_APPROVAL_COLUMNS "WHERE state = 'pending' AND workspace_id = $1 AND n > $2 ORDER BY n LIMIT $3"};
  static constexpr Statement is_in{"run_is_in_workspace",
                                   "SELECT 1 FROM runs WHERE workspace_id = $1 AND id = $2"};
  static constexpr Statement of_run{"pending_approvals_page_of_run", PG_APPROVAL_COLUMNS
                                    "WHERE state = 'pending' AND run_id = $1 AND n > $2 ORDER BY n LIMIT $3"};
  static constexpr Statement of_all{
      "pending_approvals_page", PG_APPROVAL_COLUMNS "WHERE state = 'pending' AND n > $1 ORDER BY n LIMIT $2"};
  if (!scope.empty() && !query.run) return all(ask(within, scope, query.after, query.limit), read_approval);
  if (!scope.empty() && ask(is_in, scope, *query.run).empty()) return {};
  if (query.run) return all(ask(of_run, *query.run, query.after, query.limit), read_approval);
  return all(ask(of_all, query.after, query.limit), read_approval);
}

std::vector<Approval> Tables::due_approvals(base::Time now, int limit) {
  static constexpr Statement find{"due_approvals", PG_APPROVAL_COLUMNS
                                  "WHERE state = 'pending' AND expires_at IS NOT NULL AND expires_at <= $1 "
                                  "ORDER BY expires_at, n LIMIT $2"};
  return all(ask(find, now, limit), read_approval);
}

std::optional<base::Time> Tables::next_approval_expiry() {
  static constexpr Statement find{
      "next_approval_expiry",
      "SELECT expires_at FROM approvals WHERE state = 'pending' AND expires_at IS NOT NULL "
      "ORDER BY expires_at LIMIT 1"};
  return earliest(ask(find));
}

std::optional<base::Time> Tables::next_idempotency_expiry() {
  static constexpr Statement find{"next_idempotency_expiry",
                                  "SELECT expires_at FROM idempotency_keys ORDER BY expires_at LIMIT 1"};
  return earliest(ask(find));
}

std::optional<Upload> Tables::upload(const std::string& scope, std::string_view id) {
  static constexpr Statement within{"upload_of_workspace",
                                    PG_UPLOAD_COLUMNS "WHERE workspace_id = $1 AND id = $2"};
  if (!scope.empty()) return one(ask(within, scope, id), read_upload);
  static constexpr Statement find{"upload", PG_UPLOAD_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_upload);
}

std::optional<base::Time> Tables::next_upload_expiry() {
  static constexpr Statement find{"next_upload_expiry",
                                  "SELECT expires_at FROM uploads ORDER BY expires_at LIMIT 1"};
  return earliest(ask(find));
}

std::vector<std::string> Tables::trees_in_use() {
  // From the conversations that are not over, which are few, and not from all runs that there ever were.
  static constexpr Statement find{
      "trees_in_use",
      "SELECT tree FROM conversations c CROSS JOIN LATERAL (SELECT tree FROM runs WHERE conversation_id = "
      "c.id "
      "AND tree IS NOT NULL OFFSET 0) r WHERE c.reclaimed = 0 UNION SELECT tree FROM uploads ORDER BY 1"};
  return all(ask(find), [](const Cells& row) { return row.text(0); });
}

std::optional<ActionRecord> Tables::action(const model::RunId& run, const model::ActionId& action) {
  static constexpr Statement find{"action", PG_ACTION_COLUMNS "WHERE run_id = $1 AND action_id = $2"};
  return one(ask(find, run, action), read_action);
}

std::vector<ActionRecord> Tables::actions(const model::RunId& run, int limit) {
  static constexpr Statement find{"actions", PG_ACTION_COLUMNS "WHERE run_id = $1 ORDER BY n DESC LIMIT $2"};
  auto newest = all(ask(find, run, limit), read_action);
  std::reverse(newest.begin(), newest.end());
  return newest;
}

std::vector<ActionRecord> Tables::open_actions(const model::RunId& run) {
  static constexpr Statement find{"open_actions",
                                  PG_ACTION_COLUMNS "WHERE run_id = $1 AND execution = 'started' ORDER BY n"};
  return all(ask(find, run), read_action);
}

}  // namespace agentrouter::store::postgres
