// The queries of Rows about conversations, deadlines, uploads and actions.

#include "store/sqlite/columns.h"
#include "store/sqlite/rows.h"

namespace agentrouter::store {

namespace {

std::optional<base::Time> earliest(Statement statement) {
  if (!statement.step() || statement.is_null(0)) return std::nullopt;
  return time_at(statement, 0);
}

}  // namespace

std::optional<Conversation> Rows::conversation(const model::RunId& id) {
  auto statement = connection_.statement(CONVERSATION_COLUMNS "WHERE id = ?");
  statement.bind(id.str());
  return one(std::move(statement), read_conversation);
}

std::vector<model::Run> Rows::turns(const model::RunId& conversation) {
  auto statement = connection_.statement(RUN_COLUMNS "WHERE conversation_id = ? ORDER BY turn_number");
  statement.bind(conversation.str());
  return all(std::move(statement), read_run);
}

std::optional<model::Run> Rows::latest_turn(const model::RunId& conversation) {
  auto statement =
      connection_.statement(RUN_COLUMNS "WHERE conversation_id = ? ORDER BY turn_number DESC LIMIT 1");
  statement.bind(conversation.str());
  return one(std::move(statement), read_run);
}

std::optional<model::Run> Rows::turn(const model::RunId& conversation, int number) {
  auto statement = connection_.statement(RUN_COLUMNS "WHERE conversation_id = ? AND turn_number = ?");
  statement.bind(conversation.str()).bind(std::int64_t{number});
  return one(std::move(statement), read_run);
}

std::optional<Checkpoint> Rows::latest_checkpoint(const model::RunId& conversation, int before_turn) {
  auto statement = connection_.statement(CHECKPOINT_COLUMNS
                                         "WHERE conversation_id = ? AND turn_number < ? AND doomed = 0 "
                                         "ORDER BY turn_number DESC LIMIT 1");
  statement.bind(conversation.str()).bind(std::int64_t{before_turn});
  return one(std::move(statement), read_checkpoint);
}

std::vector<Checkpoint> Rows::checkpoints(const model::RunId& conversation) {
  auto statement = connection_.statement(CHECKPOINT_COLUMNS "WHERE conversation_id = ? ORDER BY turn_number");
  statement.bind(conversation.str());
  return all(std::move(statement), read_checkpoint);
}

bool Rows::is_shared(const Checkpoint& checkpoint) {
  auto statement = connection_.statement(
      "SELECT 1 FROM checkpoints WHERE key = ? AND conversation_id <> ? AND doomed = 0 LIMIT 1");
  statement.bind(checkpoint.key).bind(checkpoint.conversation_id.str());
  return statement.step();
}

std::vector<Conversation> Rows::conversations_to_reclaim(base::Time now, int limit) {
  auto statement = connection_.statement(
      CONVERSATION_COLUMNS "WHERE reclaimed = 0 AND expires_at <= ? ORDER BY expires_at, id LIMIT ?");
  statement.bind(to_column(now)).bind(std::int64_t{limit});
  return all(std::move(statement), read_conversation);
}

std::optional<base::Time> Rows::next_conversation_expiry() {
  auto statement = connection_.statement(
      "SELECT min(expires_at) FROM conversations WHERE reclaimed = 0 AND expires_at < ?");
  statement.bind(to_column(never));
  return earliest(std::move(statement));
}

std::vector<Approval> Rows::pending_approvals(const std::string& scope, const PendingQuery& query) {
  if (query.run && !scope.empty() && !is_in(scope, *query.run)) return {};
  if (!query.run && !scope.empty()) {
    auto own = connection_.statement(
        APPROVAL_COLUMNS
        "INDEXED BY approvals_of_workspace WHERE state = 'pending' AND workspace_id = ? AND n > ? "
        "ORDER BY n LIMIT ?");
    own.bind(scope).bind(query.after).bind(std::int64_t{query.limit});
    return all(std::move(own), read_approval);
  }
  auto statement = connection_.statement(
      query.run ? APPROVAL_COLUMNS "WHERE state = 'pending' AND n > ?2 AND run_id = ?1 ORDER BY n LIMIT ?3"
                : APPROVAL_COLUMNS "WHERE state = 'pending' AND n > ?2 AND ?1 = '' ORDER BY n LIMIT ?3");
  const std::string run = query.run ? query.run->str() : std::string();
  statement.bind(run);
  statement.bind(query.after).bind(std::int64_t{query.limit});
  return all(std::move(statement), read_approval);
}

std::vector<Approval> Rows::due_approvals(base::Time now, int limit) {
  auto statement = connection_.statement(
      APPROVAL_COLUMNS "WHERE state = 'pending' AND expires_at <= ? ORDER BY expires_at, n LIMIT ?");
  statement.bind(to_column(now)).bind(std::int64_t{limit});
  return all(std::move(statement), read_approval);
}

std::optional<base::Time> Rows::next_approval_expiry() {
  return earliest(connection_.statement(
      "SELECT min(expires_at) FROM approvals WHERE state = 'pending' AND expires_at IS NOT NULL"));
}

std::optional<base::Time> Rows::next_idempotency_expiry() {
  return earliest(connection_.statement("SELECT min(expires_at) FROM idempotency_keys"));
}

std::optional<Upload> Rows::upload(const std::string& scope, std::string_view id) {
  if (!scope.empty()) {
    auto own = connection_.statement(UPLOAD_COLUMNS
                                     "INDEXED BY uploads_of_workspace WHERE workspace_id = ? AND id = ?");
    own.bind(scope).bind(id);
    return one(std::move(own), read_upload);
  }
  auto statement = connection_.statement(UPLOAD_COLUMNS "WHERE id = ?");
  statement.bind(id);
  return one(std::move(statement), read_upload);
}

std::optional<base::Time> Rows::next_upload_expiry() {
  return earliest(connection_.statement("SELECT min(expires_at) FROM uploads"));
}

std::vector<std::string> Rows::trees_in_use() {
  // From the conversations that are not over, which are few, and not from all runs that there ever were.
  return all(connection_.statement(
                 "SELECT r.tree FROM conversations c CROSS JOIN runs r ON r.conversation_id = c.id WHERE "
                 "c.reclaimed = 0 AND r.tree IS NOT NULL UNION SELECT tree FROM uploads ORDER BY 1"),
             [](const Statement& row) { return row.text(0); });
}

std::optional<ActionRecord> Rows::action(const model::RunId& run, const model::ActionId& action) {
  auto statement = connection_.statement(ACTION_COLUMNS "WHERE run_id = ? AND action_id = ?");
  statement.bind(run.str()).bind(action.str());
  return one(std::move(statement), read_action);
}

std::vector<ActionRecord> Rows::actions(const model::RunId& run, int limit) {
  auto statement = connection_.statement(ACTION_COLUMNS "WHERE run_id = ? ORDER BY n DESC LIMIT ?");
  statement.bind(run.str()).bind(std::int64_t{limit});
  auto newest = all(std::move(statement), read_action);
  std::reverse(newest.begin(), newest.end());
  return newest;
}

std::vector<ActionRecord> Rows::open_actions(const model::RunId& run) {
  auto statement =
      connection_.statement(ACTION_COLUMNS "WHERE run_id = ? AND execution = 'started' ORDER BY n");
  statement.bind(run.str());
  return all(std::move(statement), read_action);
}

}  // namespace agentrouter::store
