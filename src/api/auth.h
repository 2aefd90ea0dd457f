#pragma once
// The key that a request brings, and the server's own key, which is kept and compared as its SHA-256. All
// other keys are in the store (tenancy/entry.h).

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"
#include "net/http.h"

namespace agentrouter::api {

class Authenticator {
 public:
  explicit Authenticator(std::string_view key) : digest_(base::Sha256::hex_of(key)) {}

  // Exactly one Authorization field; the scheme is spelled exactly "Bearer ", the key is trimmed.
  // Errors: denied with reason unauthorized.
  [[nodiscard]] static base::Result<std::string> key_in(const net::Headers& headers);
  // Whether this is the server's own key. Takes the same time wherever the difference is.
  [[nodiscard]] bool is_own(std::string_view key) const;
  // Names the key without giving anything of it away: "key_" and the begin of its SHA-256.
  [[nodiscard]] std::string key_name() const { return "key_" + digest_.substr(0, 12); }

 private:
  std::string digest_;
};

}  // namespace agentrouter::api
