#include "cli/text.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace agentrouter::cli {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

template <std::size_t n>
bool in(char32_t c, const std::array<Range, n>& ranges) {
  return std::ranges::any_of(ranges, [c](Range r) { return c >= r.first && c <= r.last; });
}

// Control characters but tab and line feed, directional formatting, invisible and tag characters, separators
// that some terminals take for line ends.
constexpr std::array<Range, 14> unprintable = {{{0x00, 0x08},
                                                {0x0b, 0x1f},
                                                {0x7f, 0x9f},
                                                {0xad, 0xad},
                                                {0x061c, 0x061c},
                                                {0x180e, 0x180e},
                                                {0x200b, 0x200c},
                                                {0x200e, 0x200f},
                                                {0x2028, 0x202e},
                                                {0x2060, 0x206f},
                                                {0xfeff, 0xfeff},
                                                {0xfff9, 0xfffb},
                                                {0xe0000, 0xe007f},
                                                {0xfdd0, 0xfdef}}};

constexpr std::array<Range, 9> combining = {{{0x0300, 0x036f},
                                             {0x0483, 0x0489},
                                             {0x0591, 0x05bd},
                                             {0x064b, 0x065f},
                                             {0x1ab0, 0x1aff},
                                             {0x200d, 0x200d},
                                             {0x20d0, 0x20ff},
                                             {0xfe00, 0xfe0f},
                                             {0xfe20, 0xfe2f}}};

constexpr std::array<Range, 10> wide = {{{0x1100, 0x115f},
                                         {0x2e80, 0x303e},
                                         {0x3041, 0xa4cf},
                                         {0xac00, 0xd7a3},
                                         {0xf900, 0xfaff},
                                         {0xfe30, 0xfe6f},
                                         {0xff00, 0xff60},
                                         {0xffe0, 0xffe6},
                                         {0x1f300, 0x1faff},
                                         {0x20000, 0x3fffd}}};

// Length of the control sequence (CSI) whose parameters begin at `at`.
std::size_t csi_end(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] >= 0x20 && text[at] <= 0x3f) ++at;
  return at < text.size() && text[at] >= 0x40 && text[at] <= 0x7e ? at + 1 : at;
}

// End of a string (OSC, DCS, ...) that begins at `at`; `at` itself when nothing ends it, so that an open one
// does not swallow the text behind it.
std::size_t control_string_end(std::string_view text, std::size_t at) {
  for (auto i = at; i < text.size(); ++i) {
    if (text[i] == '\a') return i + 1;
    if (text[i] == '\x1b' && i + 1 < text.size() && text[i + 1] == '\\') return i + 2;
    if (text.substr(i).starts_with("\xc2\x9c")) return i + 2;
    if (text[i] == '\n') break;
  }
  return at;
}

bool begins_string(char c) {
  return c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_';
}

// Position behind the escape sequence at `at`, where an ESC stands.
std::size_t escape_end(std::string_view text, std::size_t at) {
  if (++at >= text.size()) return at;
  if (text[at] == '[') return csi_end(text, at + 1);
  if (begins_string(text[at])) return control_string_end(text, at + 1);
  while (at < text.size() && text[at] >= 0x20 && text[at] <= 0x2f) ++at;
  return at < text.size() && text[at] >= 0x30 && text[at] <= 0x7e ? at + 1 : at;
}

std::size_t width_of(char32_t c) {
  return in(c, combining) ? 0 : in(c, wide) ? 2 : 1;
}

std::string decimal(double value, std::string_view unit) {
  const auto tenths = static_cast<std::int64_t>(value * 10 + 0.5);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " " + std::string(unit);
}

}  // namespace

std::string printable(std::string_view bytes) {
  const auto text = base::to_utf8(bytes);
  const std::string_view view = text;
  std::string out;
  out.reserve(view.size());
  for (std::size_t at = 0; at < view.size();) {
    if (view[at] == '\x1b') {
      at = escape_end(view, at);
      continue;
    }
    const auto begin = at;
    const auto c = base::decode_utf8(view, at);
    if (c == 0x9b) {
      at = csi_end(view, at);
    } else if (c == 0x90 || c == 0x98 || c == 0x9d || c == 0x9e || c == 0x9f) {
      at = control_string_end(view, at);
    } else if (!in(c, unprintable)) {
      out += view.substr(begin, at - begin);
    }
  }
  return out;
}

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    const bool blank = c == ' ' || c == '\n' || c == '\t';
    if (blank && (out.empty() || out.back() == ' ')) continue;
    out += blank ? ' ' : c;
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

std::size_t width(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) columns += width_of(base::decode_utf8(text, at));
  return columns;
}

std::string fit(std::string_view text, std::size_t columns) {
  if (width(text) <= columns) return std::string(text);
  const auto room = columns > 3 ? columns - 3 : 0;
  std::size_t used = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    auto next = at;
    used += width_of(base::decode_utf8(text, next));
    if (used > room) break;
    at = next;
  }
  return std::string(text.substr(0, at)) + std::string(std::min<std::size_t>(columns, 3), '.');
}

std::string padded(std::string_view text, std::size_t columns) {
  const auto used = width(text);
  return std::string(text) + std::string(columns > used ? columns - used : 0, ' ');
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    if (widths.size() < row.size()) widths.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += i + 1 < row.size() ? padded(row[i], widths[i] + 2) : row[i];
    }
    out += '\n';
  }
  return out;
}

std::string human_size(std::int64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  constexpr std::array<std::string_view, 4> units = {"KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < units.size(); ++unit) value /= 1024;
  return decimal(value, units[unit]);
}

std::string human_duration(std::chrono::milliseconds duration) {
  const auto ms = std::max<std::int64_t>(duration.count(), 0);
  if (ms < 59'950) return decimal(static_cast<double>(ms) / 1000, "s");
  const auto seconds = (ms + 500) / 1000;
  const auto two = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  if (seconds < 3600) return std::to_string(seconds / 60) + " min " + two(seconds % 60) + " s";
  return std::to_string(seconds / 3600) + " h " + two(seconds / 60 % 60) + " min";
}

}  // namespace agentrouter::cli
