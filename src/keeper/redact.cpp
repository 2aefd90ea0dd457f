#include "keeper/redact.h"

#include <algorithm>
#include <functional>

namespace agentrouter::keeper {
namespace {

constexpr std::size_t least_bytes = 8;
constexpr std::string_view mark = "[REDACTED]";
constexpr std::string_view lower_digits = "0123456789abcdef";
constexpr std::string_view upper_digits = "0123456789ABCDEF";
constexpr std::string_view base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

using Put = std::function<void(char)>;

std::string_view last_word(std::string_view value) {
  const auto word = value.substr(value.rfind(' ') + 1);
  return word.size() < least_bytes ? value : word;
}

void put_hex(std::string_view secret, std::string_view digits, const Put& put) {
  for (const unsigned char c : secret) {
    put(digits[c >> 4]);
    put(digits[c & 15]);
  }
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void put_percent(std::string_view secret, std::string_view digits, const Put& put) {
  for (const char c : secret) {
    if (is_unreserved(c)) {
      put(c);
      continue;
    }
    put('%');
    put_hex(std::string_view(&c, 1), digits, put);
  }
}

void put_escaped(std::string_view secret, int times, const Put& put) {
  for (const char c : secret) {
    if (c == '\\' || c == '"') {
      for (int i = 0; i < (1 << times) - 1; ++i) put('\\');
    }
    put(c);
  }
}

// The characters of a base64 text that only this secret's bytes decide, when `before` bytes stand in front of
// it in its first group of three.
void put_base64(std::string_view secret, std::size_t before, std::string_view alphabet, const Put& put) {
  const auto bit = [&](std::size_t at) -> unsigned {
    const auto byte = static_cast<unsigned char>(secret[at / 8]);
    return (byte >> (7 - at % 8)) & 1u;
  };
  const std::size_t bits = secret.size() * 8;
  for (std::size_t at = (6 - before * 8 % 6) % 6; at + 6 <= bits; at += 6) {
    unsigned value = 0;
    for (std::size_t i = 0; i < 6; ++i) value = value << 1 | bit(at + i);
    put(alphabet[value]);
  }
}

// Each form of a secret once, one after the other.
void each_form(std::string_view secret,
               const std::function<void(const std::function<void(const Put&)>&)>& take) {
  take([&](const Put& put) { std::ranges::for_each(secret, put); });
  for (const int times : {1, 2}) {
    if (secret.find_first_of("\\\"") != std::string_view::npos)
      take([&](const Put& put) { put_escaped(secret, times, put); });
  }
  for (const auto digits : {lower_digits, upper_digits}) {
    take([&](const Put& put) { put_hex(secret, digits, put); });
    if (!std::ranges::all_of(secret, is_unreserved))
      take([&](const Put& put) { put_percent(secret, digits, put); });
  }
  for (const std::size_t before : {0u, 1u, 2u}) {
    for (const auto alphabet : {base64, base64url})
      take([&](const Put& put) { put_base64(secret, before, alphabet, put); });
  }
}

// The character at `at` is the one that an escape names, and so not that character.
bool is_escaped(std::string_view text, std::size_t at) {
  std::size_t backslashes = 0;
  while (backslashes < at && text[at - 1 - backslashes] == '\\') ++backslashes;
  return backslashes % 2 == 1;
}

bool replace(std::string& text, std::string_view secret, Redactor::Text kind) {
  std::size_t at = text.find(secret);
  if (at == std::string::npos) return false;
  std::string clean;
  std::size_t from = 0;
  bool found = false;
  while (at != std::string::npos) {
    if (kind == Redactor::Text::json && is_escaped(text, at)) {
      at = text.find(secret, at + 1);
      continue;
    }
    clean.append(text, from, at - from).append(mark);
    from = at + secret.size();
    found = true;
    at = text.find(secret, from);
  }
  if (!found) return false;
  clean.append(text, from, std::string::npos);
  text = std::move(clean);
  return true;
}

}  // namespace

Redactor::Redactor(const std::vector<std::string_view>& secrets) {
  std::vector<std::string_view> words;
  for (const auto& secret : secrets) {
    if (const auto word = last_word(secret); word.size() >= least_bytes) words.push_back(word);
  }
  std::size_t size = 0;
  for (const auto& word : words) {
    each_form(word, [&](const auto& write) { write([&](char) { ++size; }); });
  }
  if (size == 0) return;
  bytes_ = egress::SecretBuffer(size);
  for (const auto& word : words) {
    each_form(word, [&](const auto& write) {
      const auto begin = bytes_.size();
      write([&](char c) { bytes_.append(std::string_view(&c, 1)); });
      const auto made = bytes_.view().substr(begin);
      const auto same = [&](const Piece& piece) {
        return bytes_.view().substr(piece.begin, piece.size) == made;
      };
      if (made.size() >= least_bytes && std::ranges::none_of(patterns_, same))
        patterns_.push_back({begin, made.size()});
    });
  }
}

bool Redactor::clean(std::string& text, Text kind) const {
  bool found = false;
  for (const auto& piece : patterns_)
    found = replace(text, bytes_.view().substr(piece.begin, piece.size), kind) || found;
  return found;
}

}  // namespace agentrouter::keeper
