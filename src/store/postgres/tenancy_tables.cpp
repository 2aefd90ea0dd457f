// Workspaces and the keys that open them.

#include "store/postgres/transaction.h"
#include "store/text_forms.h"

namespace agentrouter::store::postgres {

namespace {

#define PG_WORKSPACE_COLUMNS "SELECT id, name, created_at, disabled, n FROM workspaces "
#define PG_API_KEY_COLUMNS                                                                                \
  "SELECT id, hash, prefix, name, workspaces, scopes, created_by, created_at, expires_at, last_used_at, " \
  "revoked_at, replaced_by, n FROM api_keys "

WorkspaceRecord read_workspace(const Cells& row) {
  return {row.text(0), row.text(1), row.time(2), row.integer(3) != 0, row.integer(4)};
}

ApiKey read_api_key(const Cells& row) {
  ApiKey key;
  key.id = row.text(0);
  key.hash = row.text(1);
  key.prefix = row.text(2);
  key.name = row.text(3);
  key.workspaces = parse_words(row.text(4));
  key.scopes = parse_words(row.text(5));
  key.created_by = row.text(6);
  key.created_at = row.time(7);
  key.expires_at = row.maybe_time(8);
  key.last_used_at = row.maybe_time(9);
  key.revoked_at = row.maybe_time(10);
  key.replaced_by = row.text(11);
  key.number = row.integer(12);
  return key;
}

}  // namespace

std::optional<WorkspaceRecord> Tables::workspace(std::string_view id) {
  static constexpr Statement find{"workspace", PG_WORKSPACE_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_workspace);
}

std::vector<WorkspaceRecord> Tables::workspaces(std::int64_t after, int limit) {
  static constexpr Statement page{"workspaces", PG_WORKSPACE_COLUMNS "WHERE n > $1 ORDER BY n LIMIT $2"};
  return all(ask(page, after, limit), read_workspace);
}

std::optional<ApiKey> Tables::api_key(std::string_view id) {
  static constexpr Statement find{"api_key", PG_API_KEY_COLUMNS "WHERE id = $1"};
  return one(ask(find, id), read_api_key);
}

std::optional<ApiKey> Tables::api_key_by_hash(std::string_view hash) {
  static constexpr Statement find{"api_key_by_hash", PG_API_KEY_COLUMNS "WHERE hash = $1"};
  return one(ask(find, hash), read_api_key);
}

std::vector<ApiKey> Tables::api_keys(std::int64_t after, int limit) {
  static constexpr Statement page{"api_keys", PG_API_KEY_COLUMNS "WHERE n > $1 ORDER BY n LIMIT $2"};
  return all(ask(page, after, limit), read_api_key);
}

void PgTransaction::put_workspace(const WorkspaceRecord& workspace) {
  static constexpr Statement put{
      "put_workspace",
      "INSERT INTO workspaces (id, name, created_at, disabled) VALUES ($1, $2, $3, $4) "
      "ON CONFLICT (id) DO UPDATE SET name = excluded.name, disabled = excluded.disabled"};
  tell(put, workspace.id, workspace.name, workspace.created_at, workspace.disabled);
}

void PgTransaction::put_api_key(const ApiKey& key) {
  static constexpr Statement put{
      "put_api_key",
      "INSERT INTO api_keys (id, hash, prefix, name, workspaces, scopes, created_by, created_at, expires_at, "
      "last_used_at, revoked_at, replaced_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) "
      "ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, revoked_at = excluded.revoked_at, "
      "replaced_by = excluded.replaced_by"};
  tell(put, key.id, key.hash, key.prefix, key.name, words_text(key.workspaces), words_text(key.scopes),
       key.created_by, key.created_at, key.expires_at, key.last_used_at, key.revoked_at, key.replaced_by);
}

void PgTransaction::note_key_use(std::string_view id, base::Time at) {
  static constexpr Statement note{
      "note_key_use",
      "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND coalesce(last_used_at, 0) < $2::bigint"};
  tell(note, id, at);
}

}  // namespace agentrouter::store::postgres
