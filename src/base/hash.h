#pragma once
// Digests: SHA-256 (libsodium) for content and actions, CRC-32C for journal records.

#include <sodium.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace agentrouter::base {

class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  Sha256();
  void update(std::string_view bytes);
  // The digest of all bytes so far. The object may be updated further afterwards.
  [[nodiscard]] Digest digest() const;
  [[nodiscard]] std::string hex() const;

  [[nodiscard]] static Digest of(std::string_view bytes);
  // 64 lower-case hex digits.
  [[nodiscard]] static std::string hex_of(std::string_view bytes);

 private:
  crypto_hash_sha256_state state_;
};

[[nodiscard]] std::string to_hex(const std::uint8_t* bytes, std::size_t size);

// CRC-32C (Castagnoli), as in iSCSI and ext4: crc32c("123456789") == 0xe3069283.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

// True when equal; takes the same time wherever the first difference is. Lengths may leak.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace agentrouter::base
