#pragma once
// What move_history() reads: tables of a SQLite database by their names, row by row.

#include <sqlite3.h>

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "store/sqlite/statement.h"

namespace agentrouter::store::postgres {

// One pass over the rows of a query that is made at run time.
class SourceRows {
 public:
  // Throws Failure.
  SourceRows(Connection& from, const std::string& sql);

  // False behind the last one. Throws Failure(corrupt, unavailable).
  [[nodiscard]] bool next();
  [[nodiscard]] std::int64_t integer(int column) const {
    return sqlite3_column_int64(statement_.get(), column);
  }
  // As it is.
  [[nodiscard]] std::string text(int column) const;
  // As PostgreSQL takes it in JSON: texts as stored_text.h keeps them, blobs as \x and hex.
  [[nodiscard]] json::value value(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  sqlite3* db_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// Those that hold what is remembered, without SQLite's own and those of its full text.
[[nodiscard]] std::vector<std::string> source_tables(Connection& from);
[[nodiscard]] std::vector<std::string> source_columns(Connection& from, const std::string& table);

}  // namespace agentrouter::store::postgres
