#include "api/schema.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace agentrouter::api {

bool holds(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void check_keys(Issues& issues, const Path& path, const json::object& object, const Names& known) {
  std::vector<std::string> unknown;
  for (const auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    if (!holds(known, key)) unknown.emplace_back(key);
  }
  if (!unknown.empty()) issues.unknown_keys(path, unknown);
}

const json::object* object_of(Issues& issues, const Path& path, const json::value& value) {
  const auto* object = value.if_object();
  if (!object) issues.wrong_type(path, "object", &value);
  return object;
}

std::optional<std::string> text_of(Issues& issues, const Path& path, const json::value* value,
                                   Bounds length) {
  const auto* text = value ? value->if_string() : nullptr;
  if (!text) {
    issues.wrong_type(path, "string", value);
    return std::nullopt;
  }
  std::string trimmed(base::trim_js({text->data(), text->size()}));
  const auto units = static_cast<std::int64_t>(base::utf16_length(trimmed));
  if (units < length.least) {
    issues.too_short(path, length.least);
  } else if (units > length.most) {
    issues.too_long(path, length.most);
  } else {
    return trimmed;
  }
  return std::nullopt;
}

std::optional<std::int64_t> integer_of(Issues& issues, const Path& path, const json::value& value,
                                       Bounds bounds) {
  boost::system::error_code error;
  const auto number = value.is_number() ? value.to_number<std::int64_t>(error) : 0;
  const auto* real = value.if_double();
  if (!value.is_number() || (real && std::trunc(*real) != *real)) {
    issues.wrong_type(path, "int", &value);
  } else if (error || number < bounds.least || number > bounds.most) {
    const bool below = error ? real && *real < 0 : number < bounds.least;
    issues.out_of_range(path, bounds.least, bounds.most, below);
  } else {
    return number;
  }
  return std::nullopt;
}

std::string choice_of(Issues& issues, const Path& path, const json::value* value, const Names& values,
                      std::string_view otherwise) {
  if (!value) return std::string(otherwise);
  const auto* text = value->if_string();
  if (text && holds(values, std::string_view(text->data(), text->size())))
    return std::string(text->data(), text->size());
  issues.not_one_of(path, values);
  return std::string(otherwise);
}

}  // namespace agentrouter::api
