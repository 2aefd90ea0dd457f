#pragma once
// Query parameters. Unknown keys are ignored, repeated keys refused; numbers are read as laxly as the
// published API reads them (JavaScript's Number): blank is 0, hex, signs and exponents count.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/issues.h"
#include "net/http.h"

namespace agentrouter::api {

class Query {
 public:
  Query(const net::Request& request, Issues& issues) : request_(request), issues_(issues) {}

  // The one value of this key; a second one is a finding.
  [[nodiscard]] std::optional<std::string> text(std::string_view key);
  // A whole number within the bounds, or `otherwise` when the key is missing. What is no whole number or out
  // of bounds is a finding.
  [[nodiscard]] std::int64_t number(std::string_view key, std::int64_t otherwise, std::int64_t least,
                                    std::int64_t most);

 private:
  const net::Request& request_;
  Issues& issues_;
};

// JavaScript's Number(text) when it is a whole number that a double holds exactly.
[[nodiscard]] std::optional<std::int64_t> lax_integer(std::string_view text);

}  // namespace agentrouter::api
