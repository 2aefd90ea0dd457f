#include "base/secret_forms.h"

#include <sodium.h>

#include <algorithm>
#include <string>

namespace agentrouter::base {
namespace {

constexpr std::string_view lower_digits = "0123456789abcdef";
constexpr std::string_view upper_digits = "0123456789ABCDEF";
constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view base64url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t longest_growth = 6;  // \u0041

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void put_hex(std::string& out, char c, std::string_view digits) {
  out += digits[static_cast<unsigned char>(c) >> 4];
  out += digits[static_cast<unsigned char>(c) & 15];
}

// Everything before each byte is `prefix`: "" for hex, "%" and "\u00" for the others.
void put_prefixed(std::string& out, std::string_view secret, std::string_view prefix, std::string_view digits) {
  for (const char c : secret) {
    out += prefix;
    put_hex(out, c, digits);
  }
}

void put_percent(std::string& out, std::string_view secret, std::string_view digits) {
  for (const char c : secret) {
    if (is_unreserved(c)) {
      out += c;
    } else {
      out += '%';
      put_hex(out, c, digits);
    }
  }
}

// As JSON writes it, `times` one inside of the other. `slashes`: "/" is escaped, too.
void put_escaped(std::string& out, std::string_view secret, int times, bool slashes) {
  for (const char c : secret) {
    if (c == '\\' || c == '"' || (slashes && c == '/')) out.append((1u << times) - 1, '\\');
    out += c;
  }
}

// The characters of a base64 text that only this secret's bytes decide, when `before` bytes stand in front of
// it in its first group of three.
void put_base64(std::string& out, std::string_view secret, std::size_t before, std::string_view alphabet) {
  const auto bit = [&](std::size_t at) -> unsigned {
    const auto byte = static_cast<unsigned char>(secret[at / 8]);
    return (byte >> (7 - at % 8)) & 1u;
  };
  const std::size_t bits = secret.size() * 8;
  for (std::size_t at = (6 - before * 8 % 6) % 6; at + 6 <= bits; at += 6) {
    unsigned value = 0;
    for (std::size_t i = 0; i < 6; ++i) value = value << 1 | bit(at + i);
    out += alphabet[value];
  }
}

std::string_view word_of(std::string_view value, std::size_t least) {
  const auto word = value.substr(value.rfind(' ') + 1);
  return word.size() < least ? value : word;
}

}  // namespace

void each_secret_form(std::string_view secret, std::size_t least,
                      const std::function<void(const SecretForm&)>& take) {
  secret = word_of(secret, least);
  const bool reserved = !std::ranges::all_of(secret, is_unreserved);
  const bool quoted = secret.find_first_of("\\\"") != std::string_view::npos;
  std::string form;
  form.reserve(longest_growth * secret.size() + 1);  // it never moves, so that all of it is wiped
  const auto give = [&](bool stands_in_json = true) {
    if (form.size() >= least) take({form, stands_in_json});
    ::sodium_memzero(form.data(), form.capacity());
    form.clear();
  };
  form += secret;
  give(!quoted);
  for (const int times : {1, 2}) {
    if (quoted) put_escaped(form, secret, times, false), give();
    if (secret.find('/') != std::string_view::npos) put_escaped(form, secret, times, true), give();
  }
  for (const auto digits : {lower_digits, upper_digits}) {
    put_prefixed(form, secret, "", digits), give();
    put_prefixed(form, secret, "%", digits), give();
    put_prefixed(form, secret, "\\u00", digits), give();
    if (reserved) put_percent(form, secret, digits), give();
  }
  for (const std::size_t before : {0u, 1u, 2u}) {
    for (const auto alphabet : {base64_alphabet, base64url_alphabet})
      put_base64(form, secret, before, alphabet), give();
  }
}

}  // namespace agentrouter::base
