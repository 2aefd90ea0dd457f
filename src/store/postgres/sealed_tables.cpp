// Data keys and provider keys, sealed; notes of the servers to each other.

#include "store/postgres/transaction.h"

namespace agentrouter::store::postgres {

namespace {

#define PG_DATA_KEY_COLUMNS \
  "SELECT workspace, version, wrapped_by, wrapped, created_at, retiring FROM data_keys "
#define PG_PROVIDER_KEY_COLUMNS                                                                       \
  "SELECT workspace, provider, sealed, hint, base_url, set_by, created_at, changed_at, used_at FROM " \
  "provider_keys "

DataKey read_data_key(const Cells& row) {
  return {row.text(0),        static_cast<int>(row.integer(1)), row.text(2), row.text(3), row.time(4),
          row.integer(5) == 1};
}

ProviderKey read_provider_key(const Cells& row) {
  return {row.text(0), row.text(1), row.text(2), row.text(3),      row.text(4),
          row.text(5), row.time(6), row.time(7), row.maybe_time(8)};
}

Note read_note(const Cells& row) {
  return {row.text(0), row.text(1), row.text(2)};
}

}  // namespace

std::vector<DataKey> Tables::data_keys() {
  static constexpr Statement find{"data_keys", PG_DATA_KEY_COLUMNS "ORDER BY workspace, version"};
  return all(ask(find), read_data_key);
}

std::vector<DataKey> Tables::data_keys(std::string_view workspace) {
  static constexpr Statement find{"data_keys_of_workspace",
                                  PG_DATA_KEY_COLUMNS "WHERE workspace = $1 ORDER BY version"};
  return all(ask(find, workspace), read_data_key);
}

std::vector<ProviderKey> Tables::provider_keys() {
  static constexpr Statement find{"provider_keys", PG_PROVIDER_KEY_COLUMNS "ORDER BY workspace, provider"};
  return all(ask(find), read_provider_key);
}

std::optional<ProviderKey> Tables::provider_key(std::string_view workspace, std::string_view provider) {
  static constexpr Statement find{"provider_key",
                                  PG_PROVIDER_KEY_COLUMNS "WHERE workspace = $1 AND provider = $2"};
  return one(ask(find, workspace, provider), read_provider_key);
}

std::optional<Note> Tables::note(std::string_view kind, std::string_view id) {
  static constexpr Statement find{"note", "SELECT kind, id, text FROM notes WHERE kind = $1 AND id = $2"};
  return one(ask(find, kind, id), read_note);
}

std::vector<Note> Tables::notes(std::string_view kind, std::string_view id_prefix, int limit) {
  static constexpr Statement find{
      "notes",
      "SELECT kind, id, text FROM notes WHERE kind = $1 AND id >= $2 AND starts_with(id, $2::text) "
      "ORDER BY id LIMIT $3"};
  return all(ask(find, kind, id_prefix, limit), read_note);
}

void PgTransaction::put_data_key(const DataKey& key) {
  static constexpr Statement put{
      "put_data_key",
      "INSERT INTO data_keys (workspace, version, wrapped_by, wrapped, created_at, retiring) VALUES ($1, $2, "
      "$3, $4, $5, $6) ON CONFLICT (workspace, version) DO UPDATE SET wrapped_by = excluded.wrapped_by, "
      "wrapped = excluded.wrapped, retiring = excluded.retiring"};
  tell(put, key.workspace, key.version, key.wrapped_by, key.wrapped, key.created_at, key.retiring);
}

void PgTransaction::delete_data_key(std::string_view workspace, int version) {
  static constexpr Statement remove{"delete_data_key",
                                    "DELETE FROM data_keys WHERE workspace = $1 AND version = $2"};
  tell(remove, workspace, version);
}

void PgTransaction::put_provider_key(const ProviderKey& key) {
  static constexpr Statement put{
      "put_provider_key",
      "INSERT INTO provider_keys (workspace, provider, sealed, hint, base_url, set_by, created_at, "
      "changed_at, used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (workspace, provider) DO "
      "UPDATE SET sealed = excluded.sealed, hint = excluded.hint, base_url = excluded.base_url, set_by = "
      "excluded.set_by, changed_at = excluded.changed_at, used_at = excluded.used_at"};
  tell(put, key.workspace, key.provider, key.sealed, key.hint, key.base_url, key.set_by, key.created_at,
       key.changed_at, key.used_at);
}

void PgTransaction::delete_provider_key(std::string_view workspace, std::string_view provider) {
  static constexpr Statement remove{"delete_provider_key",
                                    "DELETE FROM provider_keys WHERE workspace = $1 AND provider = $2"};
  tell(remove, workspace, provider);
}

void PgTransaction::put_note(const Note& note) {
  static constexpr Statement put{"put_note",
                                 "INSERT INTO notes (kind, id, text) VALUES ($1, $2, $3) "
                                 "ON CONFLICT (kind, id) DO UPDATE SET text = excluded.text"};
  tell(put, note.kind, note.id, note.text);
  capture_.note_kinds.push_back(note.kind);
}

void PgTransaction::delete_note(std::string_view kind, std::string_view id) {
  static constexpr Statement remove{"delete_note", "DELETE FROM notes WHERE kind = $1 AND id = $2"};
  tell(remove, kind, id);
  capture_.note_kinds.emplace_back(kind);
}

}  // namespace agentrouter::store::postgres
