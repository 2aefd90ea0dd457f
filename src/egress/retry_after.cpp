#include "egress/retry_after.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace agentrouter::egress {

namespace {

using std::string_view;
using std::chrono::milliseconds;

constexpr milliseconds longest = std::chrono::hours(24 * 365);

std::optional<double> number(string_view text) {
  double value = 0;
  const auto* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end || !std::isfinite(value))
    return std::nullopt;
  return value;
}

std::optional<int> whole(string_view text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return std::nullopt;
  int value = 0;
  const auto* end = text.data() + at + digits;
  const auto parsed = std::from_chars(text.data() + at, end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || value < 0) return std::nullopt;
  return value;
}

milliseconds bounded(double ms) {
  return milliseconds(static_cast<std::int64_t>(std::clamp(ms, 0.0, static_cast<double>(longest.count()))));
}

milliseconds until(base::Time time, base::Time now) {
  return std::clamp(time - now, milliseconds(0), longest);
}

struct CivilTime {
  std::optional<int> year, month, day, hour, minute, second;
};

std::optional<base::Time> time_of(const CivilTime& civil) {
  if (!civil.year || !civil.month || !civil.day || !civil.hour || !civil.minute || !civil.second)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*civil.year),
                                         std::chrono::month(static_cast<unsigned>(*civil.month)),
                                         std::chrono::day(static_cast<unsigned>(*civil.day))};
  if (!date.ok() || *civil.hour > 23 || *civil.minute > 59 || *civil.second > 60) return std::nullopt;
  return base::Time(std::chrono::sys_days(date)) + std::chrono::hours(*civil.hour) +
         std::chrono::minutes(*civil.minute) + std::chrono::seconds(*civil.second);
}

// "2026-11-29T01:02:03Z", with or without a fraction; other zones are not read.
std::optional<base::Time> rfc3339(string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  if (text.back() != 'Z' && text.back() != 'z') return std::nullopt;
  return time_of({whole(text, 0, 4), whole(text, 5, 2), whole(text, 8, 2), whole(text, 11, 2),
                  whole(text, 14, 2), whole(text, 17, 2)});
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<base::Time> http_date(string_view text) {
  constexpr std::array<string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                               "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() != 29 || !text.ends_with(" GMT")) return std::nullopt;
  const auto month = std::find(months.begin(), months.end(), text.substr(8, 3));
  if (month == months.end()) return std::nullopt;
  return time_of({whole(text, 12, 4), static_cast<int>(month - months.begin()) + 1, whole(text, 5, 2),
                  whole(text, 17, 2), whole(text, 20, 2), whole(text, 23, 2)});
}

// "6m0s", "1h2m3.5s", "120ms"
std::optional<milliseconds> duration(string_view text) {
  double sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto unit = text.find_first_not_of("0123456789.");
    if (unit == string_view::npos) return std::nullopt;
    const auto value = number(text.substr(0, unit));
    text.remove_prefix(unit);
    const auto end = std::min(text.find_first_of("0123456789."), text.size());
    const auto name = text.substr(0, end);
    text.remove_prefix(end);
    const double scale = name == "ms"  ? 1
                         : name == "s" ? 1000
                         : name == "m" ? 60'000
                         : name == "h" ? 3'600'000
                         : name == "d" ? 86'400'000
                                       : 0;
    if (!value || scale == 0) return std::nullopt;
    sum += *value * scale;
  }
  return bounded(sum);
}

bool is_used_up(const net::Headers& headers, const std::string& remaining) {
  const auto left = headers.find(remaining);
  return left && number(*left).value_or(1) <= 0;
}

// What one field says about a limit, when that limit is used up.
std::optional<milliseconds> reset_of(const net::Headers& headers, const net::Header& field, base::Time now) {
  constexpr string_view openai = "x-ratelimit-reset-";
  constexpr string_view anthropic = "anthropic-ratelimit-";
  constexpr string_view reset = "-reset";
  const string_view name = field.name;
  const auto begins = [&](string_view prefix) { return net::iequals(name.substr(0, prefix.size()), prefix); };
  if (net::iequals(name, "anthropic-ratelimit-unified-reset")) {
    const auto seconds = number(field.value);
    if (!seconds) return std::nullopt;
    return bounded(*seconds * 1000 - static_cast<double>(now.time_since_epoch().count()));
  }
  if (begins(openai)) {
    const std::string limit(name.substr(openai.size()));
    return is_used_up(headers, "x-ratelimit-remaining-" + limit) ? duration(field.value) : std::nullopt;
  }
  if (!begins(anthropic) || name.size() <= anthropic.size() + reset.size() ||
      !net::iequals(name.substr(name.size() - reset.size()), reset)) {
    return std::nullopt;
  }
  if (!is_used_up(headers, std::string(name.substr(0, name.size() - reset.size())) + "-remaining"))
    return std::nullopt;
  const auto time = rfc3339(field.value);
  return time ? std::optional(until(*time, now)) : std::nullopt;
}

}  // namespace

std::optional<milliseconds> retry_after_of(const net::Headers& headers, base::Time now) {
  if (const auto ms = number(headers.get("retry-after-ms"))) return bounded(*ms);
  const auto given = headers.get("retry-after");
  if (const auto seconds = number(given)) return bounded(*seconds * 1000);
  if (const auto date = http_date(given)) return until(*date, now);
  std::optional<milliseconds> latest;
  for (const auto& field : headers) {
    const auto reset = reset_of(headers, field, now);
    if (reset && (!latest || *reset > *latest)) latest = reset;
  }
  return latest;
}

}  // namespace agentrouter::egress
