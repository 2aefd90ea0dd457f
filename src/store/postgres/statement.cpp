#include "store/postgres/statement.h"

#include <libpq-fe.h>

#include <charconv>

namespace agentrouter::store::postgres {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

// Elements of an array as text, with what is quoted unquoted.
std::vector<std::string> array_elements(std::string_view text) {
  std::vector<std::string> elements;
  if (text.size() <= 2) return elements;
  std::string element;
  bool quoted = false;
  bool was_quoted = false;
  const auto finish = [&] {
    elements.push_back(!was_quoted && element == "NULL" ? std::string() : std::move(element));
    element.clear();
    was_quoted = false;
  };
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      quoted = !quoted;
      was_quoted = true;
    } else if (c == '\\') {
      element += text[++i];
    } else if (c == ',' && !quoted) {
      finish();
    } else {
      element += c;
    }
  }
  finish();
  return elements;
}

std::int64_t to_integer(std::string_view text) {
  std::int64_t number = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size())
    base::throw_failure(base::Code::internal, "a column of the database is no number: " + std::string(text));
  return number;
}

void refuse_nul(std::string_view text) {
  if (text.find('\0') == std::string_view::npos) return;
  base::throw_failure(base::Code::invalid,
                      "cannot store a text with a NUL character in it: PostgreSQL has none",
                      "text_not_storable");
}

}  // namespace

Parameters& Parameters::add(std::string_view text) {
  refuse_nul(text);
  return add_plain(std::string(text));
}

Parameters& Parameters::add(Bytes bytes) {
  values_.push_back({.bytes = std::string(bytes.data), .binary = true});
  return *this;
}

Parameters& Parameters::add(std::nullopt_t) {
  values_.push_back({.bytes = {}, .null = true});
  return *this;
}

Parameters& Parameters::add(const std::vector<std::string>& texts) {
  std::string array = "{";
  for (const auto& text : texts) {
    refuse_nul(text);
    array += array.size() > 1 ? ",\"" : "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return add_plain(array + "}");
}

Parameters& Parameters::add(const std::vector<std::int64_t>& numbers) {
  std::string array = "{";
  for (const auto number : numbers) array += (array.size() > 1 ? "," : "") + std::to_string(number);
  return add_plain(array + "}");
}

Parameters& Parameters::add_plain(std::string text) {
  values_.push_back({.bytes = std::move(text)});
  return *this;
}

bool Row::is_null(int column) const {
  return PQgetisnull(result_, row_, column) != 0;
}

std::string_view Row::view(int column) const {
  return {PQgetvalue(result_, row_, column), static_cast<std::size_t>(PQgetlength(result_, row_, column))};
}

std::int64_t Row::integer(int column) const {
  const auto text = view(column);
  return text.empty() ? 0 : to_integer(text);
}

std::string Row::bytes(int column) const {
  const auto text = view(column);  // \x and hex digits
  std::string bytes;
  for (std::size_t i = 2; i + 1 < text.size(); i += 2)
    bytes += static_cast<char>(hex_digits.find(text[i]) * 16 + hex_digits.find(text[i + 1]));
  return bytes;
}

std::vector<std::string> Row::texts(int column) const {
  return array_elements(view(column));
}

std::vector<std::int64_t> Row::integers(int column) const {
  std::vector<std::int64_t> numbers;
  for (const auto& element : array_elements(view(column))) numbers.push_back(to_integer(element));
  return numbers;
}

std::optional<std::string> Row::optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return text(column);
}

std::optional<std::int64_t> Row::optional_integer(int column) const {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

std::size_t Rows::size() const {
  return static_cast<std::size_t>(PQntuples(result_.get()));
}

std::int64_t Rows::affected() const {
  const std::string_view text = PQcmdTuples(result_.get());
  return text.empty() ? 0 : to_integer(text);
}

std::string_view Rows::command() const {
  return result_ ? PQcmdStatus(result_.get()) : std::string_view();
}

bool Rows::is_sync() const {
  return PQresultStatus(result_.get()) == PGRES_PIPELINE_SYNC;
}

void Rows::Clear::operator()(pg_result* result) const {
  PQclear(result);
}

}  // namespace agentrouter::store::postgres
