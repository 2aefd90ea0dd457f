#pragma once
// SQLite's C interface with owners: a connection that caches its prepared statements, and one use of such a
// statement. What SQLite refuses is thrown as a Failure: storage_full and storage_failed are unavailable,
// store_corrupt is corrupt.

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/error.h"

namespace agentrouter::store {

// Binds parameters in their order, steps, reads columns. Bound text must live until the last step. The
// statement is reset when this ends.
class Statement {
 public:
  Statement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  Statement(Statement&& other) noexcept : db_(other.db_), statement_(other.statement_), next_(other.next_) {
    other.statement_ = nullptr;
  }
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);
  Statement& bind(const std::string& value) { return bind(std::string_view(value)); }
  Statement& bind(const char* value) { return bind(std::string_view(value)); }
  Statement& bind_null();
  template <class T>
  Statement& bind(const std::optional<T>& value) {
    return value ? bind(*value) : bind_null();
  }

  // True when there is a row.
  bool step();
  // Steps to the end.
  void run() {
    while (step()) {
    }
  }

  [[nodiscard]] std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] bool is_null(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
  }

 private:
  void check(int status) const;

  sqlite3* db_;
  sqlite3_stmt* statement_;
  int next_ = 1;
};

// One connection, used by one thread at a time.
class Connection {
 public:
  // Throws Failure. The file must exist; an empty one is a new database.
  Connection(const std::filesystem::path& path, const std::string& vfs);
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  // `sql` is a literal: it is prepared once and must outlive the connection.
  [[nodiscard]] Statement statement(std::string_view sql);
  // One or several statements without parameters, not cached.
  void execute(const char* sql);
  // False after SQLite has undone a transaction by itself.
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  // For a commit that failed: undoes what is open and never throws.
  void abandon_transaction() noexcept;
  [[nodiscard]] sqlite3* handle() const { return db_; }

 private:
  sqlite3* db_ = nullptr;
  std::unordered_map<std::string_view, sqlite3_stmt*> prepared_;
};

// Whether this extended status says that the disk may have lost what it was given although it is read back.
[[nodiscard]] bool may_have_lost(int extended_status);

// The Error for what `db` said last.
[[nodiscard]] base::Error sqlite_error(sqlite3* db, std::string_view action, int status);

}  // namespace agentrouter::store
