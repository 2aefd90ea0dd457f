#include "store/postgres/sqlite_source.h"

#include "base/hash.h"
#include "store/postgres/stored_text.h"

namespace agentrouter::store::postgres {

SourceRows::SourceRows(Connection& from, const std::string& sql) : db_(from.handle()) {
  sqlite3_stmt* statement = nullptr;
  const int status = sqlite3_prepare_v2(db_, sql.c_str(), static_cast<int>(sql.size()), &statement, nullptr);
  if (status != SQLITE_OK) throw base::Failure(sqlite_error(db_, "read the store", status));
  statement_.reset(statement);
}

bool SourceRows::next() {
  const int status = sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) return false;
  throw base::Failure(sqlite_error(db_, "read the store", status));
}

std::string SourceRows::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return bytes == nullptr ? std::string() : std::string(bytes, size);
}

json::value SourceRows::value(int column) const {
  switch (sqlite3_column_type(statement_.get(), column)) {
    case SQLITE_NULL:
      return nullptr;
    case SQLITE_INTEGER:
      return integer(column);
    case SQLITE_BLOB: {
      const auto bytes = text(column);
      return json::string("\\x" +
                          base::to_hex(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
    }
    default:
      return json::string(to_stored(text(column)));
  }
}

std::vector<std::string> source_tables(Connection& from) {
  std::vector<std::string> names;
  SourceRows rows(
      from,
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
      "AND name NOT LIKE 'run\\_search%' ESCAPE '\\' AND name <> 'newest_events' ORDER BY name");
  while (rows.next()) names.push_back(rows.text(0));
  return names;
}

std::vector<std::string> source_columns(Connection& from, const std::string& table) {
  std::vector<std::string> names;
  SourceRows rows(from, "SELECT name FROM pragma_table_info('" + table + "')");
  while (rows.next()) names.push_back(rows.text(0));
  return names;
}

}  // namespace agentrouter::store::postgres
