#include "webhooks/signature.h"

#include <array>

#include "base/hmac.h"
#include "base/secret_buffer.h"

namespace agentrouter::webhooks {

namespace {

constexpr std::string_view secret_prefix = "whsec_";

std::string_view chars_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string new_secret(base::Entropy& entropy) {
  std::array<std::uint8_t, 32> bytes{};
  entropy.fill(bytes);
  return std::string(secret_prefix) + base::to_base64(chars_of(bytes));
}

bool is_secret(std::string_view text) {
  if (!text.starts_with(secret_prefix)) return false;
  const auto bytes = base::from_base64(text.substr(secret_prefix.size()));
  return bytes && bytes->size() >= 24 && bytes->size() <= 64;
}

std::string signatures(const std::vector<std::string_view>& secrets, std::string_view id,
                       std::int64_t timestamp_seconds, std::string_view body) {
  std::string content(id);
  content.append(".").append(std::to_string(timestamp_seconds)).append(".").append(body);
  std::string all;
  for (const auto& secret : secrets) {
    if (!secret.starts_with(secret_prefix)) continue;
    auto key = base::from_base64(secret.substr(secret_prefix.size()));
    if (!key) continue;
    const auto digest = base::hmac_sha256(*key, content);
    base::wipe(*key);
    all += (all.empty() ? "v1," : " v1,") + base::to_base64(chars_of(digest));
  }
  return all;
}

}  // namespace agentrouter::webhooks
