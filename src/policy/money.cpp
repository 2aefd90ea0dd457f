#include "policy/money.h"

#include <algorithm>
#include <cmath>

namespace agentrouter::policy {

namespace {

constexpr std::int64_t most_whole = 1'000'000;

}  // namespace

std::int64_t add_saturated(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? unbounded : std::numeric_limits<std::int64_t>::min();
}

NanoUsd price_of(std::int64_t count, PicoUsd each) {
  const auto pico = static_cast<__int128>(std::max<std::int64_t>(count, 0)) * each;
  const auto nano = (pico + 999) / 1000;
  return nano > unbounded ? unbounded : static_cast<NanoUsd>(nano);
}

std::optional<std::int64_t> parse_parts(std::string_view text, std::int64_t parts) {
  std::int64_t whole = 0;
  std::int64_t fraction = 0;
  std::int64_t unit = parts;
  bool behind_point = false;
  int digits = 0;
  for (const char c : text) {
    if (c == '.' && !behind_point) {
      behind_point = true;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    ++digits;
    if (!behind_point) {
      whole = whole * 10 + (c - '0');
      if (whole > most_whole) return std::nullopt;
    } else {
      unit /= 10;
      if (unit == 0 && c != '0') return std::nullopt;
      fraction += unit * (c - '0');
    }
  }
  if (digits == 0 || (whole == most_whole && fraction > 0)) return std::nullopt;
  return whole * parts + fraction;
}

std::optional<std::int64_t> parts_of(double value, std::int64_t parts) {
  if (!(value >= 0) || value > static_cast<double>(most_whole)) return std::nullopt;
  return std::llround(value * static_cast<double>(parts));
}

double usd_of(NanoUsd amount) {
  return static_cast<double>(amount) / static_cast<double>(nano_per_usd);
}

std::string usd_text(NanoUsd amount) {
  const std::string sign = amount < 0 ? "-" : "";
  const auto size = static_cast<std::uint64_t>(amount < 0 ? -(amount + 1) : amount) + (amount < 0 ? 1 : 0);
  auto fraction = std::to_string(size % nano_per_usd);
  fraction.insert(0, 9 - fraction.size(), '0');
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return sign + std::to_string(size / nano_per_usd) + (fraction.empty() ? "" : "." + fraction);
}

}  // namespace agentrouter::policy
