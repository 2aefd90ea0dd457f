#pragma once
// HMAC-SHA256 and base64 (libsodium), for signatures that others check.

#include <optional>
#include <string>
#include <string_view>

#include "base/hash.h"

namespace agentrouter::base {

[[nodiscard]] Sha256::Digest hmac_sha256(std::string_view key, std::string_view message);

// RFC 4648 with padding.
[[nodiscard]] std::string to_base64(std::string_view bytes);
// Nothing for what to_base64 would not have written.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace agentrouter::base
