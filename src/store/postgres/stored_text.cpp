#include "store/postgres/stored_text.h"

#include <algorithm>

#include "base/utf8.h"

namespace agentrouter::store::postgres {

namespace {

constexpr char mark = '\x01';
constexpr std::string_view digits = "0123456789abcdef";

bool is_plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return c == '\0' || c == mark; }) &&
         base::is_utf8(text);
}

void append_marked(std::string& stored, char c) {
  const auto byte = static_cast<unsigned char>(c);
  stored += mark;
  stored += digits[byte >> 4];
  stored += digits[byte & 15];
}

unsigned value_of(char digit) {
  const auto found = digits.find(digit);
  return found == digits.npos ? 0 : static_cast<unsigned>(found);
}

}  // namespace

std::string to_stored(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string stored;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    const auto point = base::decode_utf8(text.substr(0, std::min(text.size(), at + 4)), end);
    const bool broken = point == 0xfffd && text.substr(at, 3) != "\xef\xbf\xbd";
    if (point == 0 || point == 1 || broken) {
      append_marked(stored, text[at++]);
    } else {
      stored.append(text, at, end - at);
      at = end;
    }
  }
  return stored;
}

std::string from_stored(std::string_view stored) {
  std::string text;
  text.reserve(stored.size());
  for (std::size_t at = 0; at < stored.size(); ++at) {
    if (stored[at] != mark || at + 2 >= stored.size()) {
      text += stored[at];
      continue;
    }
    text += static_cast<char>(value_of(stored[at + 1]) << 4 | value_of(stored[at + 2]));
    at += 2;
  }
  return text;
}

}  // namespace agentrouter::store::postgres
