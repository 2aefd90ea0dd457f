#include "api/issues.h"

namespace agentrouter::api {

namespace {

std::string_view type_name(const json::value* value) {
  if (!value) return "undefined";
  switch (value->kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "boolean";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "array";
    case json::kind::object:
      return "object";
    default:
      return "number";
  }
}

std::string join(const std::vector<std::string>& keys) {
  std::string text;
  for (const auto& key : keys) text += (text.empty() ? "\"" : ", \"") + key + "\"";
  return text;
}

}  // namespace

void Issues::add(json::object issue, const Path& path, std::string message) {
  json::array steps;
  for (const auto& step : path) steps.emplace_back(step);
  issue["path"] = std::move(steps);
  issue["message"] = std::move(message);
  list_.emplace_back(std::move(issue));
}

void Issues::wrong_type(const Path& path, std::string_view expected, const json::value* found) {
  add({{"expected", expected}, {"code", "invalid_type"}}, path,
      "Invalid input: expected " + std::string(expected) + ", received " + std::string(type_name(found)));
}

void Issues::too_short(const Path& path, std::int64_t minimum) {
  add({{"origin", "string"}, {"code", "too_small"}, {"minimum", minimum}, {"inclusive", true}}, path,
      "Too small: expected string to have >=" + std::to_string(minimum) + " characters");
}

void Issues::too_long(const Path& path, std::int64_t maximum) {
  add({{"origin", "string"}, {"code", "too_big"}, {"maximum", maximum}, {"inclusive", true}}, path,
      "Too big: expected string to have <=" + std::to_string(maximum) + " characters");
}

void Issues::out_of_range(const Path& path, std::int64_t minimum, std::int64_t maximum, bool below) {
  if (below) {
    add({{"origin", "number"}, {"code", "too_small"}, {"minimum", minimum}, {"inclusive", true}}, path,
        "Too small: expected number to be >=" + std::to_string(minimum));
  } else {
    add({{"origin", "number"}, {"code", "too_big"}, {"maximum", maximum}, {"inclusive", true}}, path,
        "Too big: expected number to be <=" + std::to_string(maximum));
  }
}

void Issues::not_one_of(const Path& path, const std::vector<std::string_view>& values) {
  json::array list;
  std::string text;
  for (const auto value : values) {
    list.emplace_back(value);
    text += (text.empty() ? "\"" : "|\"") + std::string(value) + "\"";
  }
  add({{"code", "invalid_value"}, {"values", std::move(list)}}, path,
      "Invalid option: expected one of " + text);
}

void Issues::bad_format(const Path& path, std::string_view pattern) {
  add({{"origin", "string"}, {"code", "invalid_format"}, {"format", "regex"}, {"pattern", pattern}}, path,
      "Invalid string: must match pattern " + std::string(pattern));
}

void Issues::bad_time(const Path& path) {
  add({{"origin", "string"}, {"code", "invalid_format"}, {"format", "datetime"}}, path,
      "Invalid ISO datetime: expected 2026-01-05T09:30:00.000Z");
}

void Issues::unknown_keys(const Path& path, const std::vector<std::string>& keys) {
  json::array list;
  for (const auto& key : keys) list.emplace_back(key);
  add({{"code", "unrecognized_keys"}, {"keys", std::move(list)}}, path,
      std::string(keys.size() == 1 ? "Unrecognized key: " : "Unrecognized keys: ") + join(keys));
}

void Issues::other(const Path& path, std::string_view message) {
  add({{"code", "custom"}}, path, std::string(message));
}

base::Error Issues::to_error() const {
  json::object details;
  details["issues"] = list_;
  return {base::Code::invalid, "Request validation failed", "validation_error", base::to_text(details)};
}

}  // namespace agentrouter::api
