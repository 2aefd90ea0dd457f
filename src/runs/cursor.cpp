#include "runs/cursor.h"

#include <charconv>

#include "base/hash.h"

namespace agentrouter::runs {

namespace {

constexpr std::size_t number_digits = 16;
constexpr std::size_t check_digits = 8;

std::string hex(std::uint64_t value, std::size_t digits) {
  std::string text(digits, '0');
  for (auto at = text.rbegin(); at != text.rend(); ++at, value >>= 4) *at = "0123456789abcdef"[value & 15];
  return text;
}

std::int64_t number_at(std::string_view text, std::size_t position) {
  std::uint64_t value = 0;
  const auto* begin = text.data() + position;
  std::from_chars(begin, begin + number_digits, value, 16);
  return static_cast<std::int64_t>(value);
}

base::Error broken() {
  json::object issue;
  issue["code"] = "invalid_cursor";
  issue["path"] = json::array{"cursor"};
  issue["message"] = "Not a cursor that this server gave";
  json::object details;
  details["issues"] = json::array{std::move(issue)};
  return {base::Code::invalid, "the cursor is not one that this server gave", "validation_error",
          base::to_text(details)};
}

}  // namespace

std::string encode_cursor(const store::RunCursor& cursor) {
  auto text = hex(static_cast<std::uint64_t>(cursor.queued_at), number_digits) +
              hex(static_cast<std::uint64_t>(cursor.number), number_digits);
  return text + hex(base::crc32c(text), check_digits);
}

base::Result<store::RunCursor> decode_cursor(std::string_view text) {
  if (text.size() != 2 * number_digits + check_digits) return tl::unexpected(broken());
  store::RunCursor cursor{number_at(text, 0), number_at(text, number_digits)};
  if (encode_cursor(cursor) != text) return tl::unexpected(broken());
  return cursor;
}

}  // namespace agentrouter::runs
