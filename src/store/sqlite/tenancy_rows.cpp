// Workspaces and the keys that open them.

#include "store/sqlite/columns.h"
#include "store/sqlite/transaction.h"
#include "store/text_forms.h"

namespace agentrouter::store {

namespace {

#define WORKSPACE_COLUMNS "SELECT id, name, created_at, disabled, n FROM workspaces "
#define API_KEY_COLUMNS                                                                                   \
  "SELECT id, hash, prefix, name, workspaces, scopes, created_by, created_at, expires_at, last_used_at, " \
  "revoked_at, replaced_by, n FROM api_keys "

WorkspaceRecord read_workspace(const Statement& row) {
  return {row.text(0), row.text(1), time_at(row, 2), row.integer(3) != 0, row.integer(4)};
}

ApiKey read_api_key(const Statement& row) {
  ApiKey key;
  key.id = row.text(0);
  key.hash = row.text(1);
  key.prefix = row.text(2);
  key.name = row.text(3);
  key.workspaces = parse_words(row.text(4));
  key.scopes = parse_words(row.text(5));
  key.created_by = row.text(6);
  key.created_at = time_at(row, 7);
  key.expires_at = maybe_time(row, 8);
  key.last_used_at = maybe_time(row, 9);
  key.revoked_at = maybe_time(row, 10);
  key.replaced_by = row.text(11);
  key.number = row.integer(12);
  return key;
}

}  // namespace

std::optional<WorkspaceRecord> Rows::workspace(std::string_view id) {
  auto statement = connection_.statement(WORKSPACE_COLUMNS "WHERE id = ?");
  statement.bind(id);
  return one(std::move(statement), read_workspace);
}

std::vector<WorkspaceRecord> Rows::workspaces(std::int64_t after, int limit) {
  auto statement = connection_.statement(WORKSPACE_COLUMNS "WHERE n > ? ORDER BY n LIMIT ?");
  statement.bind(after).bind(std::int64_t{limit});
  return all(std::move(statement), read_workspace);
}

std::optional<ApiKey> Rows::api_key(std::string_view id) {
  auto statement = connection_.statement(API_KEY_COLUMNS "WHERE id = ?");
  statement.bind(id);
  return one(std::move(statement), read_api_key);
}

std::optional<ApiKey> Rows::api_key_by_hash(std::string_view hash) {
  auto statement = connection_.statement(API_KEY_COLUMNS "WHERE hash = ?");
  statement.bind(hash);
  return one(std::move(statement), read_api_key);
}

std::vector<ApiKey> Rows::api_keys(std::int64_t after, int limit) {
  auto statement = connection_.statement(API_KEY_COLUMNS "WHERE n > ? ORDER BY n LIMIT ?");
  statement.bind(after).bind(std::int64_t{limit});
  return all(std::move(statement), read_api_key);
}

void SqliteTransaction::put_workspace(const WorkspaceRecord& workspace) {
  connection_
      .statement(
          "INSERT INTO workspaces (id, name, created_at, disabled) VALUES (?, ?, ?, ?) "
          "ON CONFLICT (id) DO UPDATE SET name = excluded.name, disabled = excluded.disabled")
      .bind(workspace.id)
      .bind(workspace.name)
      .bind(to_column(workspace.created_at))
      .bind(std::int64_t{workspace.disabled})
      .run();
}

void SqliteTransaction::put_api_key(const ApiKey& key) {
  const auto workspaces = words_text(key.workspaces);
  const auto scopes = words_text(key.scopes);
  auto statement = connection_.statement(
      "INSERT INTO api_keys (id, hash, prefix, name, workspaces, scopes, created_by, created_at, expires_at, "
      "last_used_at, revoked_at, replaced_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, revoked_at = excluded.revoked_at, "
      "replaced_by = excluded.replaced_by");
  statement.bind(key.id).bind(key.hash).bind(key.prefix).bind(key.name).bind(workspaces).bind(scopes);
  statement.bind(key.created_by).bind(to_column(key.created_at)).bind(to_column(key.expires_at));
  statement.bind(to_column(key.last_used_at)).bind(to_column(key.revoked_at)).bind(key.replaced_by).run();
}

void SqliteTransaction::note_key_use(std::string_view id, base::Time at) {
  connection_
      .statement("UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, 0) < ?2")
      .bind(id)
      .bind(to_column(at))
      .run();
}

}  // namespace agentrouter::store
