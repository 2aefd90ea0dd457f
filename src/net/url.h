#pragma once
// Addresses of providers and servers. Strict: what two parsers could read differently is refused.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::net {

enum class Scheme { http, https };

struct Url {
  Scheme scheme = Scheme::http;
  std::string host;  // lower case; an IPv6 address without its brackets
  std::uint16_t port = 80;
  std::string path = "/";  // always begins with "/", still percent-encoded
  std::string query;       // without "?"

  // What a Host field says: the port only when it is not the scheme's own, IPv6 in brackets.
  [[nodiscard]] std::string authority() const;
  // Path and query, for a request line.
  [[nodiscard]] std::string target() const;
};

// "https://api.openai.com/v1". Errors: invalid (other scheme, user info, fragment, blanks, bad host or port).
[[nodiscard]] base::Result<Url> parse_url(std::string_view text);

// Splits "host:port", "[::1]:443" or "host". Errors: invalid.
struct Authority {
  std::string host;
  std::uint16_t port = 0;  // 0 when not given
};
[[nodiscard]] base::Result<Authority> parse_authority(std::string_view text);

}  // namespace agentrouter::net
