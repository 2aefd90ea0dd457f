#include "base/needles.h"

#include <sodium.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/hash.h"
#include "base/secret_forms.h"

namespace agentrouter::base {
namespace {

constexpr std::size_t widest_window = 16;
constexpr std::size_t record_bytes = 23;  // size 4, hash 2, flag 1, digest 16
constexpr std::size_t head_bytes = 33;    // salt, window
constexpr std::size_t records_at_most = 16'384;
constexpr std::uint32_t form_bytes_at_most = 64u << 10;

std::optional<std::string> bytes_of_hex(std::string_view text) {
  std::string bytes(text.size() / 2, '\0');
  std::size_t size = 0;
  const char* end = nullptr;
  const int rc = ::sodium_hex2bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(),
                                  text.size(), nullptr, &size, &end);
  if (rc != 0 || end != text.data() + text.size()) return std::nullopt;
  return bytes;
}

void put_number(std::string& out, std::uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
}

std::uint64_t number_at(std::string_view bytes, std::size_t at, int size) {
  std::uint64_t value = 0;
  for (int i = 0; i < size; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

}  // namespace

Needles::Needles(std::span<const std::string_view> secrets, Entropy& entropy) {
  entropy.fill(salt_);
  window_ = widest_window;
  const auto each = [&](const std::function<void(const SecretForm&)>& take) {
    for (const auto& secret : secrets) {
      if (secret.size() >= least_bytes) each_secret_form(secret, least_bytes, take);
    }
  };
  each([this](const SecretForm& form) { window_ = std::min(window_, form.text.size()); });
  prepare();
  each([this](const SecretForm& form) { add(form.text, form.stands_in_json); });
  prepare();
}

// The tables that follow from salt and needles.
void Needles::prepare() {
  ::randombytes_buf_deterministic(mix_.data(), sizeof mix_, salt_.data());
  std::ranges::stable_sort(needles_, {}, &Needle::hash);
  seen_.assign(65536 / 64, 0);
  longest_ = 0;
  for (const auto& needle : needles_) {
    seen_[needle.hash / 64] |= 1ull << (needle.hash % 64);
    longest_ = std::max<std::size_t>(longest_, needle.size);
  }
}

std::uint64_t Needles::hash_of(const char* begin) const {
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < window_; ++i)
    hash = std::rotl(hash, 1) ^ mix_[static_cast<unsigned char>(begin[i])];
  return hash;
}

std::array<std::uint8_t, Needles::digest_bytes> Needles::digest_of(std::string_view form) const {
  std::array<std::uint8_t, digest_bytes> digest;
  ::crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const unsigned char*>(form.data()),
                       form.size(), salt_.data(), salt_.size());
  return digest;
}

void Needles::add(std::string_view form, bool in_json) {
  const auto digest = digest_of(form);
  const auto same = [&](const Needle& needle) { return needle.digest == digest; };
  if (form.size() > form_bytes_at_most || std::ranges::any_of(needles_, same)) return;
  needles_.push_back({.size = static_cast<std::uint32_t>(form.size()),
                      .hash = static_cast<std::uint16_t>(hash_of(form.data())),
                      .in_json = in_json,
                      .digest = digest});
}

// How long the longest needle at the beginning of `text` is.
std::size_t Needles::match(std::string_view text, std::uint16_t hash, Text kind) const {
  std::size_t size = 0;
  for (auto needle = std::ranges::lower_bound(needles_, hash, {}, &Needle::hash);
       needle != needles_.end() && needle->hash == hash; ++needle) {
    if (needle->size > text.size() || needle->size <= size || (kind == Text::json && !needle->in_json)) continue;
    if (digest_of(text.substr(0, needle->size)) == needle->digest) size = needle->size;
  }
  return size;
}

std::optional<Needles::Found> Needles::find(std::string_view text, std::size_t from, Text kind) const {
  if (needles_.empty() || text.size() < window_ || from > text.size() - window_) return std::nullopt;
  const auto drop = static_cast<int>(window_);
  std::uint64_t hash = hash_of(text.data() + from);
  for (std::size_t at = from;; ++at) {
    const auto low = static_cast<std::uint16_t>(hash);
    if (seen_[low / 64] >> (low % 64) & 1) {
      if (const auto size = match(text.substr(at), low, kind); size > 0) return Found{at, size};
    }
    if (at + window_ == text.size()) return std::nullopt;
    hash = std::rotl(hash, 1) ^ std::rotl(mix_[static_cast<unsigned char>(text[at])], drop) ^
           mix_[static_cast<unsigned char>(text[at + window_])];
  }
}

std::string Needles::to_text() const {
  std::string bytes(reinterpret_cast<const char*>(salt_.data()), salt_.size());
  put_number(bytes, window_, 1);
  for (const auto& needle : needles_) {
    put_number(bytes, needle.size, 4);
    put_number(bytes, needle.hash, 2);
    put_number(bytes, needle.in_json ? 1 : 0, 1);
    bytes.append(reinterpret_cast<const char*>(needle.digest.data()), digest_bytes);
  }
  return to_hex(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

Result<Needles> Needles::parse(std::string_view text) {
  const auto bytes = bytes_of_hex(text);
  const auto bad = [] { return fail(Code::invalid, "cannot read what secrets look like: malformed"); };
  if (!bytes || bytes->size() < head_bytes || (bytes->size() - head_bytes) % record_bytes != 0) return bad();
  const std::size_t count = (bytes->size() - head_bytes) / record_bytes;
  Needles needles;
  std::memcpy(needles.salt_.data(), bytes->data(), needles.salt_.size());
  needles.window_ = number_at(*bytes, head_bytes - 1, 1);
  if (needles.window_ > widest_window || needles.window_ < least_bytes || count > records_at_most) return bad();
  for (std::size_t at = head_bytes; at < bytes->size(); at += record_bytes) {
    auto& needle = needles.needles_.emplace_back();
    needle.size = static_cast<std::uint32_t>(number_at(*bytes, at, 4));
    needle.hash = static_cast<std::uint16_t>(number_at(*bytes, at + 4, 2));
    needle.in_json = number_at(*bytes, at + 6, 1) != 0;
    std::memcpy(needle.digest.data(), bytes->data() + at + 7, digest_bytes);
    if (needle.size < needles.window_ || needle.size > form_bytes_at_most) return bad();
  }
  needles.prepare();
  return needles;
}

}  // namespace agentrouter::base
