#include "base/utf8.h"

namespace agentrouter::base {

namespace {

constexpr char32_t broken = 0xffffffff;

// The code point at `position` and its size in bytes, or `broken`.
std::pair<char32_t, std::size_t> decode(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[position + i]); };
  const auto left = text.size() - position;
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  std::size_t size = 0;
  char32_t point = 0;
  char32_t least = 0;
  if ((lead & 0xe0) == 0xc0) {
    size = 2, point = lead & 0x1f, least = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    size = 3, point = lead & 0x0f, least = 0x800;
  } else if ((lead & 0xf8) == 0xf0) {
    size = 4, point = lead & 0x07, least = 0x10000;
  } else {
    return {broken, 1};
  }
  if (left < size) return {broken, 1};
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {broken, 1};
    point = (point << 6) | (byte(i) & 0x3f);
  }
  if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return {broken, 1};
  return {point, size};
}

bool is_js_space(char32_t point) {
  return (point >= 0x09 && point <= 0x0d) || point == 0x20 || point == 0xa0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 || point == 0x202f ||
         point == 0x205f || point == 0x3000 || point == 0xfeff;
}

}  // namespace

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto [point, size] = decode(text, i);
    if (point == broken) return false;
    i += size;
  }
  return true;
}

char32_t decode_utf8(std::string_view text, std::size_t& position) {
  const auto [point, size] = decode(text, position);
  position += size;
  return point == broken ? 0xfffd : point;
}

std::string to_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    const auto [point, size] = decode(bytes, i);
    if (point == broken) {
      text += "\xef\xbf\xbd";
    } else {
      text += bytes.substr(i, size);
    }
    i += size;
  }
  return text;
}

std::string_view cut_utf8(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<std::uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

std::size_t utf16_length(std::string_view text) {
  std::size_t units = 0;
  for (std::size_t i = 0; i < text.size();) units += decode_utf8(text, i) >= 0x10000 ? 2 : 1;
  return units;
}

std::string_view cut_utf16(std::string_view text, std::size_t units) {
  std::size_t used = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto start = i;
    used += decode_utf8(text, i) >= 0x10000 ? 2 : 1;
    if (used > units) return text.substr(0, start);
  }
  return text;
}

std::string_view trim_js(std::string_view text) {
  std::size_t begin = text.size();
  std::size_t end = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto start = i;
    if (!is_js_space(decode_utf8(text, i))) {
      if (begin > start) begin = start;
      end = i;
    }
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view{};
}

}  // namespace agentrouter::base
