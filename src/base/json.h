#pragma once
// JSON for all rooms: Boost.JSON behind one header, with the limits and the canonical form that we need.

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::json {
using namespace boost::json;
}

namespace agentrouter::base {

struct JsonLimits {
  std::size_t max_depth = 64;
  std::size_t max_bytes = 16u << 20;
};

// Strict JSON of one value with nothing after it. Refuses invalid UTF-8, lone surrogates, numbers beyond
// double, nesting beyond the limit. Duplicate keys: the last one wins.
//
// Errors: invalid with reason json_syntax, or json_value for what JSON allows and we do not: text that is no
// Unicode, numbers beyond double. The message says where.
[[nodiscard]] Result<json::value> parse_json(std::string_view text, JsonLimits limits = {});

// Compact, keys in the order that they stand in.
[[nodiscard]] std::string to_text(const json::value& value);

// RFC 8785: keys sorted by UTF-16 code unit, shortest numbers, minimal escapes. The bytes that digests cover.
[[nodiscard]] std::string to_canonical(const json::value& value);
// "sha256:" + 64 hex digits over the canonical form.
[[nodiscard]] std::string json_digest(const json::value& value);

// Readers for documents that somebody else wrote: nothing when the key is missing or of another type.
[[nodiscard]] std::optional<std::string_view> get_string(const json::object& object, std::string_view key);
[[nodiscard]] std::optional<std::int64_t> get_int(const json::object& object, std::string_view key);
[[nodiscard]] std::optional<bool> get_bool(const json::object& object, std::string_view key);
[[nodiscard]] const json::object* get_object(const json::object& object, std::string_view key);
[[nodiscard]] const json::array* get_array(const json::object& object, std::string_view key);

}  // namespace agentrouter::base
