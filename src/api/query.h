#pragma once
// Query parameters. Unknown keys are ignored, repeated keys refused; numbers are read as laxly as the
// published API reads them (JavaScript's Number): blank is 0, hex, signs and exponents count.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/issues.h"
#include "base/clock.h"
#include "net/http.h"

namespace agentrouter::api {

class Query {
 public:
  Query(const net::Request& request, Issues& issues) : request_(request), issues_(issues) {}

  // The one value of this key. A second one, or what is no text, is a finding.
  [[nodiscard]] std::optional<std::string> text(std::string_view key);
  // The same, of at most `most` UTF-16 units.
  [[nodiscard]] std::optional<std::string> text(std::string_view key, std::int64_t most);
  [[nodiscard]] std::optional<std::string> choice(std::string_view key,
                                                  const std::vector<std::string_view>& values);
  [[nodiscard]] std::optional<base::Time> time(std::string_view key);
  // "tag.<name>=<value>" of each name, sorted by name.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> tags();
  // A whole number within the bounds, or `otherwise` when the key is missing. What is no whole number or out
  // of bounds is a finding.
  [[nodiscard]] std::int64_t number(std::string_view key, std::int64_t otherwise, std::int64_t least,
                                    std::int64_t most);

 private:
  const net::Request& request_;
  Issues& issues_;
};

// What a tag may be called: 1 to 64 of these.
inline constexpr std::string_view tag_name_pattern = "/^[A-Za-z0-9._/-]{1,64}$/";
[[nodiscard]] bool is_tag_name(std::string_view name);

// A time of RFC 3339, with or without fractions of a second, in any zone: "2026-01-05T09:30:00Z".
[[nodiscard]] std::optional<base::Time> parse_time(std::string_view text);

// JavaScript's Number(text) when it is a whole number that a double holds exactly.
[[nodiscard]] std::optional<std::int64_t> lax_integer(std::string_view text);

}  // namespace agentrouter::api
