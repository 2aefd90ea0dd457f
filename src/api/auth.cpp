#include "api/auth.h"

#include "base/utf8.h"

namespace agentrouter::api {

base::Result<void> Authenticator::check(const net::Headers& headers) const {
  static constexpr std::string_view scheme = "Bearer ";
  const auto authorization = headers.get("Authorization");
  if (headers.count("Authorization") == 1 && authorization.starts_with(scheme)) {
    const auto key = base::trim_js(authorization.substr(scheme.size()));
    if (!key.empty() && base::equal_in_constant_time(base::Sha256::hex_of(key), digest_)) return {};
  }
  return base::fail(base::Code::denied,
                    "Missing or invalid API key: send \"Authorization: Bearer <AGENTROUTER_API_KEY>\"",
                    "unauthorized", "{}");
}

}  // namespace agentrouter::api
