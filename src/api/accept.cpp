#include "api/accept.h"

#include <algorithm>
#include <optional>

#include "base/ascii.h"

namespace agentrouter::api {

namespace {

constexpr int full = 1000;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Splits at `separator` outside of quotes.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  bool quoted = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (text[i] == separator && !quoted) {
      parts.push_back(trim(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  parts.push_back(trim(text.substr(begin)));
  return parts;
}

// 0, 0.5, 1.000: at most three digits behind the point.
std::optional<int> parse_quality(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int value = (text[0] - '0') * full;
  int weight = full / 10;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (c < '0' || c > '9') return std::nullopt;
    value += (c - '0') * weight;
    weight /= 10;
  }
  return value <= full ? std::optional(value) : std::nullopt;
}

bool is_range(std::string_view type) {
  const auto slash = type.find('/');
  return slash != std::string_view::npos && slash > 0 && slash + 1 < type.size() &&
         type.find_first_of(" \t\"", 0) == std::string_view::npos &&
         type.find('/', slash + 1) == std::string_view::npos && (type[0] != '*' || type == "*/*");
}

}  // namespace

Accept::Accept(const net::Headers& headers) {
  for (const auto& field : headers) {
    if (!net::iequals(field.name, "Accept")) continue;
    for (const auto item : split(field.value, ',')) {
      const auto parts = split(item, ';');
      Range range{base::ascii_lower(parts.front()), full};
      bool good = is_range(range.type);
      for (std::size_t i = 1; i < parts.size(); ++i) {
        if (parts[i].size() < 2 || (parts[i][0] | 0x20) != 'q' || parts[i][1] != '=') continue;
        const auto quality = parse_quality(parts[i].substr(2));
        good = good && quality;
        range.quality = quality.value_or(0);
      }
      if (good) ranges_.push_back(std::move(range));
    }
  }
}

int Accept::quality(std::string_view type) const {
  if (ranges_.empty()) return full;
  const std::string whole(type.substr(0, type.find('/')));
  for (const auto& wanted : {std::string(type), whole + "/*", std::string("*/*")}) {
    int best = -1;
    for (const auto& range : ranges_) {
      if (range.type == wanted) best = std::max(best, range.quality);
    }
    if (best >= 0) return best;
  }
  return 0;
}

bool Accept::names(std::string_view type) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [type](const Range& range) { return range.type == type && range.quality > 0; });
}

ErrorForm error_form(const net::Headers& headers) {
  constexpr std::string_view problem_type = "application/problem+json";
  const Accept accept(headers);
  return accept.names(problem_type) && accept.quality(problem_type) >= accept.quality("application/json")
             ? ErrorForm::problem
             : ErrorForm::envelope;
}

}  // namespace agentrouter::api
