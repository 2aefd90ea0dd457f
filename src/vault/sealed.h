#pragma once
// Values as they lie in the store: encrypted and authenticated with XChaCha20-Poly1305, as text. What a value
// is bound to (whose it is, what it is, of which record) is authenticated with it and not part of it, so a
// row that somebody has moved elsewhere does not open there. Format: docs/formats/sealed.md. Pure.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/id.h"
#include "base/secret_buffer.h"

namespace agentrouter::vault {

// 32 bytes that encrypt. Wiped when it ends. The id names it and gives nothing of it away.
class Key {
 public:
  static constexpr std::size_t bytes = 32;
  using Id = std::array<std::uint8_t, 8>;

  [[nodiscard]] static Key random(base::Entropy& entropy);
  // Aborts when `raw` is not of that size.
  [[nodiscard]] static Key of(std::string_view raw);

  [[nodiscard]] std::string_view view() const { return buffer_.view(); }
  [[nodiscard]] const Id& id() const { return id_; }
  // 16 hex digits.
  [[nodiscard]] std::string id_text() const;

 private:
  explicit Key(base::SecretBuffer buffer);
  base::SecretBuffer buffer_;
  Id id_ = {};
};

// What a sealed value belongs to.
struct Place {
  std::string workspace;
  std::string kind;  // "provider_key", "webhook_secret", "data_key"
  std::string id;    // of the record
};

inline constexpr std::string_view sealed_prefix = "sealed:";
inline constexpr std::size_t longest_value = 64 * 1024;

// What a sealed text says without a key.
struct SealedHead {
  std::uint32_t key_version = 0;  // of the workspace's data key; 0: sealed by a master key
  Key::Id key_id = {};
};

// Whether this is meant to be a sealed text, and not a value that was never sealed.
[[nodiscard]] bool is_sealed(std::string_view text);

// Aborts when the value is over longest_value.
[[nodiscard]] std::string seal(const Key& key, std::uint32_t key_version, const Place& place,
                               std::string_view value, base::Entropy& entropy);

// Errors: corrupt (sealed_damaged): no sealed text of a version that is known.
[[nodiscard]] base::Result<SealedHead> read_head(std::string_view sealed);

// Errors: corrupt (sealed_damaged): malformed, cut, changed, of another place, or sealed by another key.
[[nodiscard]] base::Result<base::SecretBuffer> open(const Key& key, const Place& place,
                                                    std::string_view sealed);

}  // namespace agentrouter::vault
