#include "api/query.h"

#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace agentrouter::api {

namespace {

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
  return found;
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
