#pragma once
// Who may call: one API key, kept and compared as its SHA-256.

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
  [[nodiscard]] base::Result<void> check(const net::Headers& headers) const;
  // Names the key without giving anything of it away: "key_" and the begin of its SHA-256.
  [[nodiscard]] std::string key_name() const { return "key_" + digest_.substr(0, 12); }

 private:
  std::string digest_;
};

}  // namespace agentrouter::api
