#include "api/query.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "api/tag_limits.h"
#include "base/utf8.h"

namespace agentrouter::api {

namespace {

bool is_plain_text(std::string_view text) {
  return base::is_utf8(text) && text.find('\0') == std::string_view::npos;
}

// Exactly `width` digits, removed from `text`.
std::optional<int> take_digits(std::string_view& text, std::size_t width) {
  int number = 0;
  if (text.size() < width) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + width, number);
  if (error != std::errc() || end != text.data() + width || text.front() == '-') return std::nullopt;
  text.remove_prefix(width);
  return number;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// "Z", "+02:00", "-05:30": how much to subtract.
std::optional<std::chrono::minutes> zone_of(std::string_view text) {
  if (text == "Z" || text == "z") return std::chrono::minutes(0);
  const bool west = text.starts_with('-');
  if (!take(text, "+-")) return std::nullopt;
  const auto hours = take_digits(text, 2);
  const bool colon = take(text, ":");
  const auto minutes = take_digits(text, 2);
  if (!hours || !colon || !minutes || !text.empty() || *hours > 23 || *minutes > 59) return std::nullopt;
  const auto offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return west ? -offset : offset;
}

constexpr double largest_exact = 9007199254740991.0;

std::optional<double> radix(std::string_view digits, int base) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  return static_cast<double>(number);
}

std::optional<double> lax_number(std::string_view text) {
  text = base::trim_js(text);
  if (text.empty()) return 0.0;
  if (text.size() > 2 && text[0] == '0') {
    const char kind = static_cast<char>(text[1] | 0x20);
    const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (base != 0) return radix(text.substr(2), base);
  }
  if (text.front() == '+') {
    text.remove_prefix(1);
    if (text.empty() || text.front() == '-' || text.front() == '+') return std::nullopt;
  }
  const char first = text.front() == '-' && text.size() > 1 ? text[1] : text.front();
  if (!((first >= '0' && first <= '9') || first == '.')) return std::nullopt;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::int64_t> lax_integer(std::string_view text) {
  const auto number = lax_number(text);
  if (!number || std::trunc(*number) != *number || std::fabs(*number) > largest_exact) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

bool is_tag_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c)) || c == '.' || c == '_' || c == '/' || c == '-';
  });
}

std::optional<base::Time> parse_time(std::string_view text) {
  std::array<int, 6> parts{};
  constexpr std::array<std::string_view, 6> after{"-", "-", "Tt", ":", ":", ""};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto number = take_digits(text, i == 0 ? 4 : 2);
    if (!number || (!after[i].empty() && !take(text, after[i]))) return std::nullopt;
    parts[i] = *number;
  }
  int milliseconds = 0;
  if (take(text, ".")) {
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || digits > 9) return std::nullopt;
    for (std::size_t i = 0; i < 3; ++i) milliseconds = milliseconds * 10 + (i < digits ? text[i] - '0' : 0);
    text.remove_prefix(digits);
  }
  const auto zone = zone_of(text);
  const auto [year, month, day, hour, minute, second] = parts;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!zone || !date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return base::Time(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) +
                    std::chrono::minutes(minute) - *zone + std::chrono::seconds(second) +
                    std::chrono::milliseconds(milliseconds));
}

std::optional<std::string> Query::text(std::string_view key) {
  std::optional<std::string> found;
  for (const auto& item : request_.query) {
    if (item.key != key) continue;
    if (found) {
      json::value several = json::array();
      issues_.wrong_type({std::string(key)}, "string", &several);
      return std::nullopt;
    }
    found = item.value;
  }
  if (found && !is_plain_text(*found)) {
    issues_.other({std::string(key)}, "Invalid input: expected text of Unicode without U+0000");
    return std::nullopt;
  }
  return found;
}

std::optional<std::string> Query::text(std::string_view key, std::int64_t most) {
  auto found = text(key);
  if (!found || static_cast<std::int64_t>(base::utf16_length(*found)) <= most) return found;
  issues_.too_long({std::string(key)}, most);
  return std::nullopt;
}

std::optional<std::string> Query::choice(std::string_view key, const std::vector<std::string_view>& values) {
  auto found = text(key);
  if (!found || std::find(values.begin(), values.end(), *found) != values.end()) return found;
  issues_.not_one_of({std::string(key)}, values);
  return std::nullopt;
}

std::optional<base::Time> Query::time(std::string_view key) {
  const auto found = text(key);
  if (!found) return std::nullopt;
  const auto time = parse_time(*found);
  if (!time) issues_.bad_time({std::string(key)});
  return time;
}

std::vector<std::pair<std::string, std::string>> Query::tags() {
  constexpr std::string_view prefix = "tag.";
  std::map<std::string, std::string> found;
  std::set<std::string> keys;
  for (const auto& item : request_.query) {
    if (!item.key.starts_with(prefix) || !keys.insert(item.key).second) continue;
    const auto name = item.key.substr(prefix.size());
    if (!is_tag_name(name)) issues_.bad_format({base::to_utf8(item.key)}, tag_name_pattern);
    if (auto value = text(item.key, max_tag_value)) found.emplace(name, std::move(*value));
  }
  if (keys.size() > max_tags) issues_.other({"tag"}, "Too big: expected at most 32 tags");
  return {found.begin(), found.end()};
}

std::int64_t Query::number(std::string_view key, std::int64_t otherwise, std::int64_t least,
                           std::int64_t most) {
  const auto value = text(key);
  if (!value) return otherwise;
  const auto number = lax_integer(*value);
  if (!number) {
    const json::value found(*value);
    issues_.wrong_type({std::string(key)}, "int", &found);
  } else if (*number < least || *number > most) {
    issues_.out_of_range({std::string(key)}, least, most, *number < least);
  } else {
    return *number;
  }
  return otherwise;
}

}  // namespace agentrouter::api
