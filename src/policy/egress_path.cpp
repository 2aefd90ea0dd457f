#include "policy/egress_path.h"

#include <algorithm>
#include <optional>

#include "base/ascii.h"
#include "policy/egress_rules.h"

namespace agentrouter::policy {

namespace {

using std::string_view;

constexpr std::size_t max_host_bytes = 253;
constexpr std::size_t max_label_bytes = 63;

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }

bool is_label(string_view label) {
  const auto usual = [](char c) { return (c >= 'a' && c <= 'z') || is_digit_char(c) || c == '-' || c == '_'; };
  return !label.empty() && label.size() <= max_label_bytes && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, usual);
}

// "0x7f" counts as a number, too.
bool is_number_label(string_view label) {
  return std::ranges::all_of(label, is_digit_char) || label.starts_with("0x");
}

bool is_octet(string_view text) {
  if (text.empty() || text.size() > 3 || !std::ranges::all_of(text, is_digit_char)) return false;
  if (text.size() > 1 && text.front() == '0') return false;
  int value = 0;
  for (const char c : text) value = value * 10 + (c - '0');
  return value <= 255;
}

template <class Accept>
std::size_t count_labels(string_view host, const Accept& accept) {
  std::size_t count = 0;
  while (true) {
    const auto dot = std::min(host.find('.'), host.size());
    if (!accept(host.substr(0, dot))) return 0;
    ++count;
    if (dot == host.size()) return count;
    host.remove_prefix(dot + 1);
  }
}

std::optional<int> hex_value(char c) {
  const char lower = base::ascii_lower(c);
  if (is_digit_char(c)) return c - '0';
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return std::nullopt;
}

std::optional<char> escaped_byte(string_view text) {
  if (text.size() < 3 || text[0] != '%') return std::nullopt;
  const auto high = hex_value(text[1]);
  const auto low = hex_value(text[2]);
  if (!high || !low) return std::nullopt;
  return static_cast<char>(*high * 16 + *low);
}

bool has_dot_segment(string_view path) {
  while (true) {
    const auto end = std::min(path.find('/'), path.size());
    // "a/..;x" is "a/.." to some servers.
    const auto name = path.substr(0, std::min(end, path.find(';')));
    if (name == "." || name == "..") return true;
    if (end == path.size()) return false;
    path.remove_prefix(end + 1);
  }
}

}  // namespace

bool is_ipv4_text(string_view host) { return count_labels(host, is_octet) == 4; }

bool is_name_text(string_view host) {
  return host.size() <= max_host_bytes && count_labels(host, is_label) > 0 &&
         !is_number_label(host.substr(host.rfind('.') == string_view::npos ? 0 : host.rfind('.') + 1));
}

std::optional<std::string> egress_host(string_view text) {
  auto host = base::ascii_lower(text);
  if (!is_ipv4_text(host) && !is_name_text(host)) return std::nullopt;
  return host;
}

DecodedPath egress_path(string_view sent) {
  const auto odd = [](const char* what) { return DecodedPath{PathKind::ambiguous, what}; };
  if (!sent.starts_with('/')) return odd("it does not begin with a slash");
  DecodedPath path;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    char c = sent[i];
    if (c == '%') {
      const auto byte = escaped_byte(sent.substr(i));
      if (!byte) return odd("a percent sign without two digits");
      c = *byte;
      i += 2;
      if (c == '/') path.kind = PathKind::unclear;
    }
    if (c == '\\') return odd("a backslash");
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return odd("a control character");
    path.text.push_back(c);
  }
  for (std::size_t i = 0; i < path.text.size(); ++i) {
    if (escaped_byte(string_view(path.text).substr(i))) return odd("it is percent-encoded twice");
  }
  if (has_dot_segment(path.text)) return odd("a segment of dots");
  if (path.text.find("//") != std::string::npos || path.text.find(';') != std::string::npos)
    path.kind = PathKind::unclear;
  return path;
}

}  // namespace agentrouter::policy
