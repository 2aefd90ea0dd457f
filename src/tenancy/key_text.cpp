#include "tenancy/key_text.h"

#include <algorithm>
#include <array>

#include "base/hash.h"

namespace agentrouter::tenancy {

namespace {

constexpr std::string_view mark = "ar_live_";
constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t random_bytes = 32;
constexpr std::size_t random_digits = 43;  // 62^43 > 2^256
constexpr std::size_t check_digits = 6;    // 62^6 > 2^32
constexpr std::size_t shown_chars = 12;
constexpr std::size_t id_digits = 12;

// The number that these bytes are, the first one highest.
template <std::size_t Size>
std::string base62(std::array<std::uint8_t, Size> bytes, std::size_t length) {
  std::string text(length, digits[0]);
  for (auto at = text.rbegin(); at != text.rend(); ++at) {
    unsigned rest = 0;
    for (auto& byte : bytes) {
      const unsigned value = rest * 256 + byte;
      byte = static_cast<std::uint8_t>(value / digits.size());
      rest = value % static_cast<unsigned>(digits.size());
    }
    *at = digits[rest];
  }
  return text;
}

std::string checksum(std::string_view text) {
  const auto digest = base::Sha256::of(text);
  return base62(std::array{digest[0], digest[1], digest[2], digest[3]}, check_digits);
}

}  // namespace

std::string new_key_text(base::Entropy& entropy) {
  std::array<std::uint8_t, random_bytes> bytes{};
  entropy.fill(bytes);
  const auto text = std::string(mark) + base62(bytes, random_digits);
  return text + checksum(text);
}

bool is_key_text(std::string_view text) {
  if (text.size() != mark.size() + random_digits + check_digits || !text.starts_with(mark)) return false;
  const auto body = text.substr(0, mark.size() + random_digits);
  if (text.substr(mark.size()).find_first_not_of(digits) != std::string_view::npos) return false;
  return text.substr(body.size()) == checksum(body);
}

std::string hash_of_key(std::string_view text) {
  return base::Sha256::hex_of(text);
}

std::string id_of_key(std::string_view hash) {
  return "key_" + std::string(hash.substr(0, id_digits));
}

std::string shown_of_key(std::string_view text) {
  return std::string(text.substr(0, shown_chars));
}

}  // namespace agentrouter::tenancy
