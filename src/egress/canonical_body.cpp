#include "egress/canonical_body.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/utf8.h"

namespace agentrouter::egress {
namespace {

constexpr std::array<std::string_view, 8> left_out{"metadata",          "client_metadata", "prompt_cache_key",
                                                   "safety_identifier", "user",            "store",
                                                   "service_tier",      "include"};

// In a pattern: '9' a digit, 'h' a lower-case hex digit, 'A' a letter, '_' a blank or a digit; everything else is
// itself. A longer pattern comes before its own beginning.
struct Pattern {
  std::string_view shape;
  std::string_view becomes;
};
constexpr std::array<Pattern, 9> shapes{{
    {"hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh", "<id>"},
    {"9999-99-99T99:99:99", "<time>"},
    {"9999-99-99 99:99:99", "<time>"},
    {"9999-99-99", "<time>"},
    {"9999/99/99", "<time>"},
    {"AAA AAA _9 99:99:99 AAA 9999", "<time>"},
    {"AAA _9 99:99", "<time>"},
    {"99:99:99", "<time>"},
    {"hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh", "<id>"},
}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_word(char c) {
  return is_letter(c) || is_digit(c) || c == '_';
}

bool fits(char c, char shape) {
  switch (shape) {
    case '9':
      return is_digit(c);
    case 'h':
      return is_hex(c);
    case 'A':
      return is_letter(c);
    case '_':
      return c == ' ' || is_digit(c);
    default:
      return c == shape;
  }
}

bool has_shape(std::string_view text, std::string_view shape) {
  if (text.size() < shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!fits(text[i], shape[i])) return false;
  }
  return true;
}

std::size_t count_while(std::string_view text, std::size_t from, bool (*good)(char)) {
  std::size_t at = from;
  while (at < text.size() && good(text[at])) ++at;
  return at - from;
}

// ".123456Z", "+02:00": what may follow a time.
std::size_t rest_of_time(std::string_view text) {
  std::size_t at = 0;
  if (at + 1 < text.size() && (text[at] == '.' || text[at] == ',') && is_digit(text[at + 1]))
    at += 1 + count_while(text, at + 1, is_digit);
  if (at < text.size() && text[at] == 'Z') return at + 1;
  return at + (has_shape(text.substr(at), "+99:99") || has_shape(text.substr(at), "-99:99") ? 6 : 0);
}

struct Replacement {
  std::size_t size = 0;
  std::string_view becomes;
};

// "1.25 seconds", "0.3s", "12 ms": measured, and never the same. Whole seconds are somebody's own number.
Replacement measured_time(std::string_view text) {
  std::size_t at = count_while(text, 0, is_digit);
  if (at == 0) return {};
  const bool broken = at + 1 < text.size() && text[at] == '.' && is_digit(text[at + 1]);
  if (broken) at += 1 + count_while(text, at + 1, is_digit);
  const std::size_t digits = at;
  if (at < text.size() && text[at] == ' ') ++at;
  for (const std::string_view unit : {"seconds", "second", "ms", "s"}) {
    if (text.substr(at).starts_with(unit) && (at + unit.size() == text.size() || !is_word(text[at + unit.size()])))
      return broken || unit == "ms" ? Replacement{digits, "<n>"} : Replacement{};
  }
  return {};
}

// What follows one of these words is another one each time.
struct Label {
  std::string_view before;
  std::string_view becomes;
};
constexpr std::array<Label, 6> labels{{{"Chunk ID: ", "<id>"},
                                       {"Wall time: ", "<n>"},
                                       {"cc_version=", "<version>"},
                                       {"cch=", "<id>"},
                                       {"session ID ", "<id>"},
                                       {"duration_ms\":", "<n>"}}};

bool is_value(char c) {
  return is_word(c) || c == '.' || c == '-';
}

Replacement labelled(std::string_view text, std::size_t at) {
  for (const auto& label : labels) {
    if (text.substr(0, at).ends_with(label.before)) return {count_while(text, at, is_value), label.becomes};
  }
  return {};
}

// Something that changes begins here.
Replacement volatile_at(std::string_view text, std::size_t at) {
  if (const auto named = labelled(text, at); named.size > 0) return named;
  if (at > 0 && is_word(text[at - 1]) && text[at - 1] != '_') return {};
  const auto rest = text.substr(at);
  for (const auto& pattern : shapes) {
    if (!has_shape(rest, pattern.shape)) continue;
    std::size_t size = pattern.shape.size();
    if (pattern.becomes == "<time>") size += rest_of_time(rest.substr(size));
    if (pattern.shape.find('-') == std::string_view::npos && pattern.becomes == "<id>") size += count_while(rest, size, is_hex);
    if (size == rest.size() || !is_word(rest[size])) return {size, pattern.becomes};
  }
  return measured_time(rest);
}

json::value canonical_value(const json::value& value, int depth) {
  if (const auto* text = value.if_string()) return json::string(canonical_text(*text));
  if (const auto* array = value.if_array()) {
    json::array made;
    for (const auto& item : *array) made.push_back(canonical_value(item, depth + 1));
    return made;
  }
  const auto* object = value.if_object();
  if (object == nullptr) return value;
  std::vector<std::string_view> keys;
  for (const auto& field : *object) keys.push_back(field.key());
  std::ranges::sort(keys);
  json::object made;
  for (const auto& key : keys) {
    if (depth == 0 && std::ranges::find(left_out, key) != left_out.end()) continue;
    made[key] = canonical_value(object->at(key), depth + 1);
  }
  return made;
}

void put_readable(std::string& out, const json::value& value, std::size_t indent) {
  const std::string margin(indent + 2, ' ');
  const auto put_items = [&](char open, char close, const auto& items, const auto& put_item) {
    out += open;
    for (const auto& item : items) {
      out += "\n" + margin;
      put_item(item);
    }
    if (!items.empty()) out += "\n" + std::string(indent, ' ');
    out += close;
  };
  if (const auto* object = value.if_object()) {
    put_items('{', '}', *object, [&](const auto& field) {
      out += std::string(field.key()) + ": ";
      put_readable(out, field.value(), indent + 2);
    });
  } else if (const auto* array = value.if_array()) {
    put_items('[', ']', *array, [&](const auto& item) { put_readable(out, item, indent + 2); });
  } else if (const auto* text = value.if_string(); text != nullptr && text->find('\n') != json::string::npos) {
    std::string_view rest(*text);
    while (!rest.empty()) {
      const auto end = std::min(rest.find('\n'), rest.size());
      out += "\n" + margin + "| " + std::string(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  } else {
    out += base::to_text(value);
  }
}

}  // namespace

std::string canonical_text(std::string_view text) {
  std::string made;
  made.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (const auto found = volatile_at(text, at); found.size > 0) {
      made += found.becomes;
      at += found.size;
    } else {
      made += text[at++];
    }
  }
  return made;
}

json::value canonical_body(std::string_view body) {
  const auto value = base::parse_json(body, {.max_depth = 128, .max_bytes = 32u << 20});
  if (!value || !value->is_object()) return json::string(canonical_text(base::to_utf8(body)));
  return canonical_value(*value, 0);
}

std::string readable(const json::value& value) {
  std::string out;
  put_readable(out, value, 0);
  out += '\n';
  return out;
}

}  // namespace agentrouter::egress
