#include "base/redactor.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"

namespace agentrouter::base {
namespace {

constexpr std::string_view redacted_mark = "[REDACTED]";

// The character at `at` is the one that an escape names, and so not that character.
bool is_escaped(std::string_view text, std::size_t at) {
  std::size_t backslashes = 0;
  while (backslashes < at && text[at - 1 - backslashes] == '\\') ++backslashes;
  return backslashes % 2 == 1;
}

bool is_break(char c) {
  return c == '\n' || c == '\r';
}

// A text without its line ends, and where each of its bytes stood.
struct Joined {
  std::string text;
  std::vector<std::size_t> places;

  void put(std::string_view from, std::size_t at) {
    text += from[at];
    places.push_back(at);
  }
};

Joined join_lines(std::string_view text, Redactor::Text kind) {
  Joined joined;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escape = kind == Redactor::Text::json && text[at] == '\\' && at + 1 < text.size();
    if (escape && (text[at + 1] == 'n' || text[at + 1] == 'r')) {
      ++at;
    } else if (escape) {
      joined.put(text, at);
      joined.put(text, ++at);
    } else if (!is_break(text[at])) {
      joined.put(text, at);
    }
  }
  return joined;
}

bool has_breaks(std::string_view text, Redactor::Text kind) {
  if (text.find_first_of("\n\r") != std::string_view::npos) return true;
  return kind == Redactor::Text::json && (text.find("\\n") != std::string_view::npos ||
                                          text.find("\\r") != std::string_view::npos);
}

using Span = Redactor::Span;

void find_spans(const Needles& needles, std::string_view text, Redactor::Text kind, std::vector<Span>& spans) {
  std::optional<Joined> joined;
  if (has_breaks(text, kind)) joined = join_lines(text, kind);
  const std::string_view searched = joined ? std::string_view(joined->text) : text;
  const auto place = [&](std::size_t at) { return joined ? joined->places[at] : at; };
  for (std::size_t from = 0;;) {
    const auto found = needles.find(searched, from, kind);
    if (!found) return;
    // The next one may begin within this one.
    from = found->begin + 1;
    if (kind == Redactor::Text::json && is_escaped(text, place(found->begin))) continue;
    spans.push_back({place(found->begin), place(found->begin + found->size - 1) + 1});
  }
}

// What may stand between the bytes of a secret, and in JSON what a line end is written with.
std::string_view between_bytes(Redactor::Text kind) {
  return kind == Redactor::Text::json ? "\n\r\\nr" : "\n\r";
}

// From where a secret of `longest` bytes that ends behind `at` may begin.
std::size_t reach_back(std::string_view text, std::size_t at, std::size_t longest, Redactor::Text kind) {
  for (std::size_t seen = 0; at > 0 && seen < longest; --at)
    seen += between_bytes(kind).find(text[at - 1]) == std::string_view::npos ? 1u : 0u;
  return at;
}

// Where one that begins before `at` may end.
std::size_t reach_on(std::string_view text, std::size_t at, std::size_t longest, Redactor::Text kind) {
  for (std::size_t seen = 0; at < text.size() && seen < longest; ++at)
    seen += between_bytes(kind).find(text[at]) == std::string_view::npos ? 1u : 0u;
  return at;
}

}  // namespace

Redactor::Redactor(std::vector<Needles> needles) : needles_(std::move(needles)) {
  for (const auto& one : needles_) longest_ = std::max(longest_, one.longest());
}

std::vector<Span> Redactor::spans(std::string_view text, Text kind) const {
  std::vector<Span> found;
  for (const auto& needles : needles_) find_spans(needles, text, kind, found);
  std::ranges::sort(found, {}, &Span::begin);
  std::vector<Span> spans;
  for (const auto& span : found) {
    if (spans.empty() || span.begin >= spans.back().end) {
      spans.push_back(span);
    } else {
      spans.back().end = std::max(spans.back().end, span.end);
    }
  }
  return spans;
}

std::string_view Redactor::cut(std::string_view text, std::size_t most, Text kind) const {
  const auto kept = cut_utf8(text, most);
  if (longest_ == 0 || kept.size() == text.size()) return kept;
  // Of those that overlap the first may end before the cut, and a second goes through it.
  const auto from = reach_back(text, kept.size(), 2 * longest_, kind);
  const auto near = text.substr(from, reach_on(text, kept.size(), longest_, kind) - from);
  for (const auto& span : spans(near, kind)) {
    if (from + span.begin < kept.size() && from + span.end > kept.size())
      return cut_utf8(text, from + span.begin);
  }
  return kept;
}

bool Redactor::clean(std::string& text, Text kind) const {
  const auto spans = this->spans(text, kind);
  if (spans.empty()) return false;
  std::string clean;
  std::size_t from = 0;
  for (const auto& span : spans) {
    clean.append(text, from, span.begin - from).append(redacted_mark);
    from = span.end;
  }
  clean.append(text, from, std::string::npos);
  text = std::move(clean);
  return true;
}

bool Redactor::clean_rest(std::string_view before, std::string& text) const {
  if (longest_ == 0 || text.empty()) return false;
  before = before.substr(before.size() - std::min(before.size(), longest_));
  const std::string both = std::string(before) + text.substr(0, longest_);
  std::vector<Span> spans;
  for (const auto& needles : needles_) find_spans(needles, both, Text::plain, spans);
  std::size_t end = before.size();
  for (const auto& span : spans) {
    if (span.begin < before.size()) end = std::max(end, span.end);
  }
  if (end == before.size()) return false;
  text.replace(0, end - before.size(), redacted_mark);
  return true;
}

bool Redactor::occurs_in(std::string_view text) const {
  const auto found_in = [this](std::string_view searched) {
    return std::ranges::any_of(needles_, [&](const Needles& needles) { return needles.find(searched).has_value(); });
  };
  if (text.find_first_of("\r\n") == std::string_view::npos) return found_in(text);
  // No form has a line end in it, so nothing is lost.
  std::string joined;
  joined.reserve(text.size());
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    joined.append(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::erase(joined, '\r');
  return found_in(joined);
}

}  // namespace agentrouter::base
