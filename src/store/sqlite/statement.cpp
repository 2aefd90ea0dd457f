#include "store/sqlite/statement.h"

namespace agentrouter::store {

bool may_have_lost(int extended_status) {
  return extended_status == SQLITE_IOERR_FSYNC || extended_status == SQLITE_IOERR_DIR_FSYNC ||
         extended_status == SQLITE_IOERR_WRITE || extended_status == SQLITE_IOERR_TRUNCATE;
}

base::Error sqlite_error(sqlite3* db, std::string_view action, int status) {
  std::string message = "cannot ";
  message.append(action).append(": ");
  message += db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(status);
  if (status == SQLITE_IOERR_DATA)
    return {base::Code::corrupt, message + " (a page does not match its checksum)", "store_corrupt"};
  switch (status & 0xff) {
    case SQLITE_FULL:
      return {base::Code::unavailable, message, "storage_full"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {base::Code::corrupt, message, "store_corrupt"};
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {base::Code::denied, message, "storage_failed"};
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR:
      return {base::Code::internal, message};
    default:
      return {base::Code::unavailable, message, "storage_failed"};
  }
}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Statement::check(int status) const {
  if (status != SQLITE_OK) throw base::Failure(sqlite_error(db_, "use the database", status));
}

Statement& Statement::bind(std::int64_t value) {
  check(sqlite3_bind_int64(statement_, next_++, value));
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  const char* data = value.data() != nullptr ? value.data() : "";
  check(sqlite3_bind_text64(statement_, next_++, data, value.size(), SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind_null() {
  check(sqlite3_bind_null(statement_, next_++));
  return *this;
}

bool Statement::step() {
  const int status = sqlite3_step(statement_);
  if (status == SQLITE_ROW) return true;
  if (status != SQLITE_DONE) throw base::Failure(sqlite_error(db_, "use the database", status));
  return false;
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

Connection::Connection(const std::filesystem::path& path, const std::string& vfs) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int status = sqlite3_open_v2(path.c_str(), &db_, flags, vfs.empty() ? nullptr : vfs.c_str());
  if (status != SQLITE_OK) {
    auto error = sqlite_error(db_, "open " + path.string(), status);
    sqlite3_close_v2(db_);
    throw base::Failure(std::move(error));
  }
  sqlite3_busy_timeout(db_, 5000);
}

Connection::Connection(Connection&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)), prepared_(std::move(other.prepared_)) {
  other.prepared_.clear();
}

Connection::~Connection() {
  for (const auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close_v2(db_);
}

Statement Connection::statement(std::string_view sql) {
  auto found = prepared_.find(sql);
  if (found == prepared_.end()) {
    sqlite3_stmt* made = nullptr;
    const int status = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                          SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    if (status != SQLITE_OK)
      throw base::Failure(sqlite_error(db_, "prepare \"" + std::string(sql) + "\"", status));
    found = prepared_.emplace(sql, made).first;
  }
  AGENTROUTER_CHECK(sqlite3_stmt_busy(found->second) == 0);
  return {db_, found->second};
}

void Connection::execute(const char* sql) {
  const int status = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) throw base::Failure(sqlite_error(db_, "use the database", status));
}

void Connection::abandon_transaction() noexcept {
  if (in_transaction()) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace agentrouter::store
