#include "workspace/path_text.h"

#include <algorithm>

#include "base/utf8.h"

namespace agentrouter::workspace {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string escape_path(std::string_view path) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out;
  for (std::size_t at = 0; at < path.size();) {
    auto next = at;
    (void)base::decode_utf8(path, next);
    const auto piece = path.substr(at, next - at);
    if (base::is_utf8(piece) && piece != "\\") {
      out += piece;
    } else {
      next = at + 1;
      const auto byte = static_cast<unsigned char>(path[at]);
      out += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    }
    at = next;
  }
  return out;
}

std::string unescape_path(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool escape = text.size() >= 4 && text[0] == '\\' && text[1] == 'x';
    const int high = escape ? hex_value(text[2]) : -1, low = escape ? hex_value(text[3]) : -1;
    const bool whole = high >= 0 && low >= 0;
    out += whole ? static_cast<char>(high * 16 + low) : text.front();
    text.remove_prefix(whole ? 4 : 1);
  }
  return out;
}

bool by_names(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto weight = [](char c) { return c == '/' ? -1 : static_cast<int>(static_cast<unsigned char>(c)); };
    return weight(x) < weight(y);
  });
}

void put_path(json::object& object, std::string_view key, std::string_view path) {
  if (base::is_utf8(path)) {
    object[key] = path;
  } else {
    object[key] = escape_path(path);
    object["encoding"] = "escaped";
  }
}

}  // namespace agentrouter::workspace
