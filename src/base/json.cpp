#include "base/json.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/hash.h"
#include "base/json_reader.h"
#include "base/utf8.h"

namespace agentrouter::base {

namespace {

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

bool strings_are_utf8(const json::value& value) {
  switch (value.kind()) {
    case json::kind::string: return is_utf8(view(value.get_string()));
    case json::kind::array:
      return std::all_of(value.get_array().begin(), value.get_array().end(), strings_are_utf8);
    case json::kind::object:
      return std::all_of(value.get_object().begin(), value.get_object().end(), [](const auto& member) {
        return is_utf8({member.key().data(), member.key().size()}) && strings_are_utf8(member.value());
      });
    case json::kind::double_: return std::isfinite(value.get_double());
    default: return true;
  }
}

// The value of the escape "\uXXXX" at `position`, if there is one.
std::optional<unsigned> unit_at(std::string_view text, std::size_t position) {
  if (position + 6 > text.size() || text[position] != '\\' || text[position + 1] != 'u') return std::nullopt;
  unsigned unit = 0;
  const auto* first = text.data() + position + 2;
  const auto [end, error] = std::from_chars(first, first + 4, unit, 16);
  if (error != std::errc() || end != first + 4) return std::nullopt;
  return unit;
}

// A surrogate escape without its other half: JSON's grammar allows it, Unicode does not.
bool escapes_half_a_pair(std::string_view text) {
  for (auto i = text.find('\\'); i != std::string_view::npos; i = text.find('\\', i)) {
    const auto unit = unit_at(text, i);
    if (!unit) {
      i += 2;
      continue;
    }
    i += 6;
    if (*unit < 0xd800 || *unit > 0xdfff) continue;
    const auto next = unit_at(text, i);
    if (*unit >= 0xdc00 || !next || *next < 0xdc00 || *next > 0xdfff) return true;
    i += 6;
  }
  return false;
}

void write_string(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += digits[c >> 4];
          out += digits[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// ECMAScript's Number::toString, which RFC 8785 prescribes.
void write_double(std::string& out, double number) {
  if (number == 0) {
    out += '0';
    return;
  }
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, std::fabs(number), std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  const auto e = text.find('e');
  int exponent = 0;
  const auto exponent_text = text.substr(text[e + 1] == '+' ? e + 2 : e + 1);
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  std::string digits(1, text[0]);
  if (e > 1) digits += text.substr(2, e - 2);
  const int count = static_cast<int>(digits.size());
  const int point = exponent + 1;
  if (number < 0) out += '-';
  if (count <= point && point <= 21) {
    out += digits + std::string(static_cast<std::size_t>(point - count), '0');
  } else if (0 < point && point <= 21) {
    out += digits.substr(0, static_cast<std::size_t>(point)) + '.' + digits.substr(static_cast<std::size_t>(point));
  } else if (-6 < point && point <= 0) {
    out += "0." + std::string(static_cast<std::size_t>(-point), '0') + digits;
  } else {
    out += digits[0];
    if (count > 1) out += '.' + digits.substr(1);
    out += point > 0 ? "e+" : "e-";
    out += std::to_string(std::abs(point - 1));
  }
}

std::u16string utf16(std::string_view text) {
  std::u16string units;
  for (std::size_t i = 0; i < text.size();) {
    const auto point = decode_utf8(text, i);
    if (point >= 0x10000) {
      units += static_cast<char16_t>(0xd800 + ((point - 0x10000) >> 10));
      units += static_cast<char16_t>(0xdc00 + ((point - 0x10000) & 0x3ff));
    } else {
      units += static_cast<char16_t>(point);
    }
  }
  return units;
}

void write_canonical(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: out += "null"; break;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; break;
    case json::kind::int64: out += std::to_string(value.get_int64()); break;
    case json::kind::uint64: out += std::to_string(value.get_uint64()); break;
    case json::kind::double_: write_double(out, value.get_double()); break;
    case json::kind::string: write_string(out, view(value.get_string())); break;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const auto& item : value.get_array()) {
        if (!std::exchange(first, false)) out += ',';
        write_canonical(out, item);
      }
      out += ']';
      break;
    }
    case json::kind::object: {
      std::vector<std::pair<std::u16string, const json::key_value_pair*>> members;
      for (const auto& member : value.get_object()) {
        members.emplace_back(utf16({member.key().data(), member.key().size()}), &member);
      }
      std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      out += '{';
      bool first = true;
      for (const auto& [units, member] : members) {
        if (!std::exchange(first, false)) out += ',';
        write_string(out, {member->key().data(), member->key().size()});
        out += ':';
        write_canonical(out, member->value());
      }
      out += '}';
      break;
    }
  }
}

}  // namespace

Result<json::value> parse_json(std::string_view text, JsonLimits limits) {
  if (text.size() > limits.max_bytes) {
    return fail(Code::invalid, "JSON of " + std::to_string(text.size()) + " bytes is over the limit of " +
                                   std::to_string(limits.max_bytes));
  }
  if (!is_utf8(text)) return fail(Code::invalid, "JSON is not UTF-8", "json_value");
  json::parse_options options;
  options.max_depth = limits.max_depth;
  json::basic_parser<JsonReader> parser(options);
  json::error_code error;
  const auto used = parser.write_some(false, text.data(), text.size(), error);
  if (!error && used < text.size()) {
    const auto rest = text.substr(used);
    if (rest.find_first_not_of(" \t\r\n") != std::string_view::npos) error = json::error::extra_data;
  }
  if (error) {
    const bool value_error = error == json::error::exponent_overflow || escapes_half_a_pair(text);
    return fail(Code::invalid, "JSON is malformed at byte " + std::to_string(used) + ": " + error.message(),
                value_error ? "json_value" : "json_syntax");
  }
  auto value = parser.handler().stack.release();
  if (!strings_are_utf8(value)) {
    return fail(Code::invalid, "JSON holds a string that is not UTF-8 or a number that a double cannot hold", "json_value");
  }
  return value;
}

std::string to_text(const json::value& value) { return json::serialize(value); }

std::string to_canonical(const json::value& value) {
  std::string out;
  write_canonical(out, value);
  return out;
}

std::string json_digest(const json::value& value) { return "sha256:" + Sha256::hex_of(to_canonical(value)); }

std::optional<std::string_view> get_string(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (!value || !value->is_string()) return std::nullopt;
  return view(value->get_string());
}

std::optional<std::int64_t> get_int(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (!value) return std::nullopt;
  json::error_code error;
  const auto number = value->to_number<std::int64_t>(error);
  if (error) return std::nullopt;
  return number;
}

std::optional<bool> get_bool(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (!value || !value->is_bool()) return std::nullopt;
  return value->get_bool();
}

const json::object* get_object(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value ? value->if_object() : nullptr;
}

const json::array* get_array(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value ? value->if_array() : nullptr;
}

}  // namespace agentrouter::base
