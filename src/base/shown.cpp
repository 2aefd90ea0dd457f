#include "base/shown.h"

#include "base/redactor.h"
#include "base/utf8.h"

namespace agentrouter::base {
namespace {

constexpr std::string_view left_out = "...";

bool is_control(char32_t c) {
  return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
}

std::string printable(std::string_view text) {
  std::string made;
  made.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    if (is_control(decode_utf8(text, at))) {
      made += ' ';
    } else {
      made += text.substr(begin, at - begin);
    }
  }
  return made;
}

}  // namespace

std::string shown(std::string_view message) {
  std::string text(message);
  hidden_in_logs()->clean(text, Redactor::Text::plain);
  text = printable(to_utf8(text));
  if (text.size() <= shown_bytes) return text;
  return std::string(cut_utf8(text, shown_bytes - left_out.size())).append(left_out);
}

}  // namespace agentrouter::base
