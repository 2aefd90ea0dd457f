// Data keys and provider keys, sealed.

#include "store/sqlite/columns.h"
#include "store/sqlite/transaction.h"

namespace agentrouter::store {

namespace {

#define DATA_KEY_COLUMNS "SELECT workspace, version, wrapped_by, wrapped, created_at, retiring FROM data_keys "
#define PROVIDER_KEY_COLUMNS                                                                             \
  "SELECT workspace, provider, sealed, hint, base_url, set_by, created_at, changed_at, used_at FROM " \
  "provider_keys "

DataKey read_data_key(const Statement& row) {
  return {row.text(0),       static_cast<int>(row.integer(1)), row.text(2), row.text(3),
          time_at(row, 4), row.integer(5) == 1};
}

ProviderKey read_provider_key(const Statement& row) {
  return {row.text(0), row.text(1),    row.text(2),     row.text(3),       row.text(4),
          row.text(5), time_at(row, 6), time_at(row, 7), maybe_time(row, 8)};
}

}  // namespace

std::vector<DataKey> Rows::data_keys() {
  return all(connection_.statement(DATA_KEY_COLUMNS "ORDER BY workspace, version"), read_data_key);
}

std::vector<DataKey> Rows::data_keys(std::string_view workspace) {
  auto statement = connection_.statement(DATA_KEY_COLUMNS "WHERE workspace = ? ORDER BY version");
  statement.bind(workspace);
  return all(std::move(statement), read_data_key);
}

std::vector<ProviderKey> Rows::provider_keys() {
  return all(connection_.statement(PROVIDER_KEY_COLUMNS "ORDER BY workspace, provider"), read_provider_key);
}

std::optional<ProviderKey> Rows::provider_key(std::string_view workspace, std::string_view provider) {
  auto statement = connection_.statement(PROVIDER_KEY_COLUMNS "WHERE workspace = ? AND provider = ?");
  statement.bind(workspace).bind(provider);
  return one(std::move(statement), read_provider_key);
}

void SqliteTransaction::put_data_key(const DataKey& key) {
  auto statement = connection_.statement(
      "INSERT INTO data_keys (workspace, version, wrapped_by, wrapped, created_at, retiring) VALUES (?, ?, ?, ?, ?, "
      "?) ON CONFLICT (workspace, version) DO UPDATE SET wrapped_by = excluded.wrapped_by, wrapped = "
      "excluded.wrapped, retiring = excluded.retiring");
  statement.bind(key.workspace).bind(std::int64_t{key.version}).bind(key.wrapped_by).bind(key.wrapped);
  statement.bind(to_column(key.created_at)).bind(std::int64_t{key.retiring}).run();
}

void SqliteTransaction::delete_data_key(std::string_view workspace, int version) {
  connection_.statement("DELETE FROM data_keys WHERE workspace = ? AND version = ?")
      .bind(workspace)
      .bind(std::int64_t{version})
      .run();
}

void SqliteTransaction::put_provider_key(const ProviderKey& key) {
  auto statement = connection_.statement(
      "INSERT INTO provider_keys (workspace, provider, sealed, hint, base_url, set_by, created_at, changed_at, used_at) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (workspace, provider) DO UPDATE SET sealed = excluded.sealed, "
      "hint = excluded.hint, base_url = excluded.base_url, set_by = excluded.set_by, changed_at = "
      "excluded.changed_at, used_at = excluded.used_at");
  statement.bind(key.workspace).bind(key.provider).bind(key.sealed).bind(key.hint).bind(key.base_url);
  statement.bind(key.set_by).bind(to_column(key.created_at)).bind(to_column(key.changed_at));
  statement.bind(to_column(key.used_at)).run();
}

void SqliteTransaction::delete_provider_key(std::string_view workspace, std::string_view provider) {
  connection_.statement("DELETE FROM provider_keys WHERE workspace = ? AND provider = ?")
      .bind(workspace)
      .bind(provider)
      .run();
}

}  // namespace agentrouter::store
