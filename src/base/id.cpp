#include "base/id.h"

#include <sodium.h>

#include <array>

#include "base/hash.h"

namespace agentrouter::base {

namespace {

class SystemEntropy final : public Entropy {
 public:
  void fill(std::span<std::uint8_t> bytes) override { randombytes_buf(bytes.data(), bytes.size()); }
};

std::string format(std::array<std::uint8_t, 16> bytes, std::uint8_t version) {
  static constexpr char digits[] = "0123456789abcdef";
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | (version << 4));
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

}  // namespace

Entropy& system_entropy() {
  static SystemEntropy entropy;
  return entropy;
}

std::string new_uuid(Entropy& entropy) {
  std::array<std::uint8_t, 16> bytes{};
  entropy.fill(bytes);
  return format(bytes, 4);
}

std::string uuid_from_text(std::string_view text) {
  std::array<std::uint8_t, 16> bytes{};
  const auto digest = Sha256::of(text);
  std::copy_n(digest.begin(), bytes.size(), bytes.begin());
  return format(bytes, 8);
}

bool is_prefixed_uuid(std::string_view text, std::string_view prefix) {
  if (text.size() != prefix.size() + 36 || !text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return false;
    } else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
      return false;
    }
  }
  return true;
}

}  // namespace agentrouter::base
