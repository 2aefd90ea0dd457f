#pragma once
// The parts that request bodies are made of. Each reads one value and reports what does not fit as a finding.
// Internal to api.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/issues.h"
#include "base/json.h"

namespace agentrouter::api {

using Names = std::vector<std::string_view>;

[[nodiscard]] bool holds(const Names& names, std::string_view name);

// Keys of `object` that are not `known` are one finding.
void check_keys(Issues& issues, const Path& path, const json::object& object, const Names& known);

// A body must be an object. Null, with a finding, when it is not.
[[nodiscard]] const json::object* object_of(Issues& issues, const Path& path, const json::value& value);

struct Bounds {
  std::int64_t least = 0;
  std::int64_t most = 0;
};

// The text, trimmed as JavaScript trims; lengths count UTF-16 units.
[[nodiscard]] std::optional<std::string> text_of(Issues& issues, const Path& path, const json::value* value,
                                                 Bounds length);

// A whole number; 5.0 is one.
[[nodiscard]] std::optional<std::int64_t> integer_of(Issues& issues, const Path& path,
                                                     const json::value& value, Bounds bounds);

// One of `values`, or `otherwise` when the key is missing or does not fit.
[[nodiscard]] std::string choice_of(Issues& issues, const Path& path, const json::value* value,
                                    const Names& values, std::string_view otherwise);

}  // namespace agentrouter::api
