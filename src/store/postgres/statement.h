#pragma once
// What is asked of PostgreSQL and what it answers, as values: a statement with its parameters, and the rows.

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

struct pg_result;  // libpq's PGresult

namespace agentrouter::store::postgres {

// A statement of the program: static, so that a session prepares it once, under its name. The name is unique
// in the program and made of a-z, 0-9 and _. Parameters are $1, $2, ...; where PostgreSQL cannot tell a type
// from its place it is written there: $1::bigint[].
//
//   static const Statement find_run{"find_run", "SELECT n FROM runs WHERE id = $1"};
struct Statement {
  std::string_view name;
  std::string_view sql;
};

// A parameter for a bytea.
struct Bytes {
  std::string_view data;
};

// Values in the order of $1, $2, ...; they are copied. Text has no NUL: Failure(invalid, text_not_storable).
class Parameters {
 public:
  template <class... Values>
  [[nodiscard]] static Parameters of(const Values&... values) {
    Parameters made;
    (made.add(values), ...);
    return made;
  }

  Parameters& add(std::string_view text);
  Parameters& add(const std::string& text) { return add(std::string_view(text)); }
  Parameters& add(const char* text) { return add(std::string_view(text)); }
  template <std::same_as<bool> T>
  Parameters& add(T value) {
    return add_plain(value ? "t" : "f");
  }
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Parameters& add(T value) {
    return add_plain(std::to_string(value));
  }
  Parameters& add(Bytes bytes);
  Parameters& add(std::nullopt_t);
  template <class T>
  Parameters& add(const std::optional<T>& value) {
    return value ? add(*value) : add(std::nullopt);
  }
  // One parameter each, of type text[] or bigint[]: for unnest() and = ANY().
  Parameters& add(const std::vector<std::string>& texts);
  Parameters& add(const std::vector<std::int64_t>& numbers);

  struct Value {
    std::string bytes;
    bool null = false;
    bool binary = false;
  };
  [[nodiscard]] const std::vector<Value>& values() const { return values_; }

 private:
  Parameters& add_plain(std::string text);

  std::vector<Value> values_;
};

// One row of Rows, valid as long as they are. Columns count from 0.
class Row {
 public:
  Row(const pg_result* result, int row) : result_(result), row_(row) {}

  [[nodiscard]] bool is_null(int column) const;
  // Empty for null.
  [[nodiscard]] std::string_view view(int column) const;
  [[nodiscard]] std::string text(int column) const { return std::string(view(column)); }
  // 0 for null. Failure(internal) when the column is no number.
  [[nodiscard]] std::int64_t integer(int column) const;
  // False for null.
  [[nodiscard]] bool boolean(int column) const { return view(column) == "t"; }
  // Of a bytea.
  [[nodiscard]] std::string bytes(int column) const;
  // Of a text[]; an element that is null is empty.
  [[nodiscard]] std::vector<std::string> texts(int column) const;
  [[nodiscard]] std::vector<std::int64_t> integers(int column) const;
  [[nodiscard]] std::optional<std::string> optional_text(int column) const;
  [[nodiscard]] std::optional<std::int64_t> optional_integer(int column) const;

 private:
  const pg_result* result_;
  int row_;
};

// What a statement answered.
class Rows {
 public:
  explicit Rows(pg_result* owned) : result_(owned) {}

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] Row operator[](std::size_t row) const { return {result_.get(), static_cast<int>(row)}; }
  [[nodiscard]] Row front() const { return (*this)[0]; }
  // How many rows an INSERT, UPDATE or DELETE has changed.
  [[nodiscard]] std::int64_t affected() const;
  // What was done, as PostgreSQL names it: "COMMIT", "INSERT 0 1".
  [[nodiscard]] std::string_view command() const;

  // Not rows, but the end of a pipeline.
  [[nodiscard]] bool is_sync() const;

  class Iterator {
   public:
    Iterator(const Rows& rows, std::size_t row) : rows_(&rows), row_(row) {}
    Row operator*() const { return (*rows_)[row_]; }
    Iterator& operator++() {
      ++row_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return row_ == other.row_; }

   private:
    const Rows* rows_;
    std::size_t row_;
  };
  [[nodiscard]] Iterator begin() const { return {*this, 0}; }
  [[nodiscard]] Iterator end() const { return {*this, size()}; }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

}  // namespace agentrouter::store::postgres
