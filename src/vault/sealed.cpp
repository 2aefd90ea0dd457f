#include "vault/sealed.h"

#include <sodium.h>

#include <algorithm>
#include <optional>

#include "base/hash.h"
#include "base/hmac.h"

namespace agentrouter::vault {

namespace {

using base::Code;
using Lock = base::SecretBuffer::Lock;

constexpr char format_version = 1;
constexpr char algorithm = 1;  // XChaCha20-Poly1305 (IETF)
constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t head_bytes = 2 + 4 + 8;
constexpr std::size_t least_bytes = head_bytes + nonce_bytes + tag_bytes;
constexpr std::string_view purpose = "agentrouter sealed value";
constexpr std::string_view id_purpose = "agentrouter key id";

static_assert(Key::bytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
static_assert(nonce_bytes == 24 && tag_bytes == 16);

const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* octets(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

void put_number(std::string& out, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift & 0xff);
}

std::uint32_t number_at(std::string_view bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<std::uint8_t>(bytes[i]);
  return number;
}

// Lengths before the parts: no two places give the same bytes.
std::string bound_to(std::string_view head, const Place& place) {
  std::string all(purpose);
  for (const std::string_view part :
       {head, std::string_view(place.workspace), std::string_view(place.kind), std::string_view(place.id)}) {
    put_number(all, static_cast<std::uint32_t>(part.size()));
    all.append(part);
  }
  return all;
}

tl::unexpected<base::Error> damaged(const std::string& why) {
  return base::fail(Code::corrupt, "a sealed value cannot be opened: " + why, "sealed_damaged");
}

struct Parts {
  std::string bytes;
  SealedHead head;
};

base::Result<Parts> take_apart(std::string_view sealed) {
  if (!is_sealed(sealed)) return damaged("it is no sealed text");
  sealed.remove_prefix(sealed_prefix.size());
  if (sealed.size() > (longest_value + least_bytes) / 3 * 4 + 8) return damaged("it is too long");
  auto bytes = base::from_base64(sealed);
  if (!bytes) return damaged("it is no base64");
  if (bytes->size() < least_bytes) return damaged("it is cut");
  if ((*bytes)[0] != format_version || (*bytes)[1] != algorithm)
    return damaged("it was made by a version that this program does not know");
  Parts parts{std::move(*bytes), {}};
  parts.head.key_version = number_at(std::string_view(parts.bytes).substr(2));
  std::copy_n(octets(parts.bytes) + 6, parts.head.key_id.size(), parts.head.key_id.begin());
  return parts;
}

}  // namespace

Key::Key(base::SecretBuffer buffer) : buffer_(std::move(buffer)) {
  AGENTROUTER_CHECK(buffer_.size() == bytes);
  std::array<unsigned char, crypto_generichash_BYTES> digest{};
  crypto_generichash(digest.data(), digest.size(), octets(id_purpose), id_purpose.size(), buffer_.bytes(),
                     bytes);
  std::copy_n(digest.begin(), id_.size(), id_.begin());
}

Key Key::random(base::Entropy& entropy) {
  base::SecretBuffer buffer(bytes, Lock::where_possible);
  entropy.fill({buffer.extend(bytes), bytes});
  return Key(std::move(buffer));
}

Key Key::of(std::string_view raw_key) {
  AGENTROUTER_CHECK(raw_key.size() == bytes);
  base::SecretBuffer buffer(bytes, Lock::where_possible);
  buffer.append(raw_key);
  return Key(std::move(buffer));
}

std::string Key::id_text() const {
  return base::to_hex(id_.data(), id_.size());
}

bool is_sealed(std::string_view text) {
  return text.starts_with(sealed_prefix);
}

std::string seal(const Key& key, std::uint32_t key_version, const Place& place, std::string_view value,
                 base::Entropy& entropy) {
  AGENTROUTER_CHECK(value.size() <= longest_value);
  std::string bytes{format_version, algorithm};
  put_number(bytes, key_version);
  bytes.append(key.id().begin(), key.id().end());
  const auto bound = bound_to(bytes, place);
  std::array<std::uint8_t, nonce_bytes> nonce{};
  entropy.fill(nonce);
  bytes.append(nonce.begin(), nonce.end());
  bytes.resize(least_bytes + value.size());
  unsigned long long size = 0;
  crypto_aead_xchacha20poly1305_ietf_encrypt(octets(bytes) + head_bytes + nonce_bytes, &size, octets(value),
                                             value.size(), octets(bound), bound.size(), nullptr, nonce.data(),
                                             octets(key.view()));
  AGENTROUTER_CHECK(size == value.size() + tag_bytes);
  return std::string(sealed_prefix) + base::to_base64(bytes);
}

base::Result<SealedHead> read_head(std::string_view sealed) {
  return take_apart(sealed).map([](const Parts& parts) { return parts.head; });
}

base::Result<base::SecretBuffer> open(const Key& key, const Place& place, std::string_view sealed) {
  AGENTROUTER_TRY(const Parts parts, take_apart(sealed));
  if (parts.head.key_id != key.id()) return damaged("it was sealed by another key");
  const std::string_view all(parts.bytes);
  const auto bound = bound_to(all.substr(0, head_bytes), place);
  const auto nonce = all.substr(head_bytes, nonce_bytes);
  const auto body = all.substr(head_bytes + nonce_bytes);
  const auto size = body.size() - tag_bytes;
  base::SecretBuffer value(std::max<std::size_t>(size, 1), Lock::where_possible);
  unsigned long long got = 0;
  const int status = crypto_aead_xchacha20poly1305_ietf_decrypt(
      value.extend(size), &got, nullptr, octets(body), body.size(), octets(bound), bound.size(),
      octets(nonce), octets(key.view()));
  if (status != 0) return damaged("it was changed, or belongs to another record");
  return value;
}

}  // namespace agentrouter::vault
