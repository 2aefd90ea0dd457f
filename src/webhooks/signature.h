#pragma once
// How a receiver knows that a message is ours: Standard Webhooks. What is signed is "ID.TIMESTAMP.BODY", with
// HMAC-SHA256 under the bytes that the secret stands for.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/id.h"

namespace agentrouter::webhooks {

// "whsec_" and the base64 of 32 random bytes.
[[nodiscard]] std::string new_secret(base::Entropy& entropy);

// "whsec_" and the base64 of 24 to 64 bytes.
[[nodiscard]] bool is_secret(std::string_view text);

// The value of webhook-signature: "v1,BASE64" for each secret, with blanks between them.
[[nodiscard]] std::string signatures(const std::vector<std::string_view>& secrets, std::string_view id,
                                     std::int64_t timestamp_seconds, std::string_view body);

}  // namespace agentrouter::webhooks
