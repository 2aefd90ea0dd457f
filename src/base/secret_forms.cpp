#include "base/secret_forms.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace agentrouter::base {
namespace {

constexpr std::string_view lower_digits = "0123456789abcdef";
constexpr std::string_view upper_digits = "0123456789ABCDEF";
constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view base64url_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr int json_levels = 3;             // text in JSON in JSON in JSON
constexpr std::size_t longest_growth = 9;  // \\\\u0041

// What is never written otherwise, but where every byte is.
bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// What else is left as it is in a percent-encoded text: by RFC 3986, Python's quote(), JavaScript's
// encodeURIComponent() and encodeURI(), and in forms.
constexpr std::array<std::string_view, 5> left_in_percent{"-._~", "-._~/", "-._~!*'()",
                                                          "-._~!*'();,/?:@&=+$#", "-._*"};
// What is written as \u00XX in JSON beside quotes and backslashes: by Go, Gson, PHP (JSON_HEX_*) and .NET.
constexpr std::array<std::string_view, 4> numbered_in_json{"<>&", "<>&='", "<>&'\"", "<>&'\"+`"};

struct Entities {
  std::string_view quote, apostrophe, slash, grave, equals;
};
// Of HTML; what is empty stays as it is. Of Python, Go and Jinja, lodash and PHP, Mustache, Handlebars.
constexpr std::array<Entities, 5> entities_of_html{{{"&quot;", "&#x27;", "", "", ""},
                                                    {"&#34;", "&#39;", "", "", ""},
                                                    {"&quot;", "&#39;", "", "", ""},
                                                    {"&quot;", "&#39;", "&#x2F;", "&#x60;", "&#x3D;"},
                                                    {"&quot;", "&#x27;", "", "&#x60;", "&#x3D;"}}};

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

void put_percent(std::string& out, std::string_view secret, std::string_view left, std::string_view digits) {
  for (const char c : secret) {
    if (is_alphanumeric(c) || left.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      put_hex(out, c, digits);
    }
  }
}

void put_numbered(std::string& out, std::string_view secret, std::string_view numbered, bool slashes,
                  std::string_view digits) {
  for (const char c : secret) {
    if (numbered.find(c) != std::string_view::npos) {
      out += "\\u00";
      put_hex(out, c, digits);
    } else {
      if (c == '\\' || c == '"' || (slashes && c == '/')) out += '\\';
      out += c;
    }
  }
}

void put_entities(std::string& out, std::string_view secret, const Entities& entities) {
  const auto entity_of = [&](char c) -> std::string_view {
    switch (c) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return entities.quote;
      case '\'':
        return entities.apostrophe;
      case '/':
        return entities.slash;
      case '`':
        return entities.grave;
      case '=':
        return entities.equals;
      default:
        return "";
    }
  };
  for (const char c : secret) {
    if (const auto entity = entity_of(c); !entity.empty())
      out += entity;
    else
      out += c;
  }
}

// As JSON writes it. `slashes`: "/" is escaped, too.
void put_escaped(std::string& out, std::string_view text, bool slashes) {
  for (const char c : text) {
    if (c == '\\' || c == '"' || (slashes && c == '/')) out += '\\';
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

// Of NAME=VALUE and NAME="VALUE"; "" where there is none.
std::string_view value_of(std::string_view word) {
  const auto equals = word.find('=');
  if (equals == std::string_view::npos || equals == 0) return "";
  auto value = word.substr(equals + 1);
  while (!value.empty() && (value.front() == '"' || value.front() == '\'')) value.remove_prefix(1);
  const auto end = value.find_last_not_of("\"',;");
  return end == std::string_view::npos ? "" : value.substr(0, end + 1);
}

// Gives the forms of one word one after the other, each in the same memory, which is wiped.
class Writer {
 public:
  Writer(std::string_view secret, std::size_t least, const std::function<void(const SecretForm&)>& take)
      : secret_(secret), least_(least), take_(take) {
    for (auto* const text : {&form_, &next_})
      text->reserve(longest_growth * secret.size() + 1);  // so that they never move
  }
  void write() {
    as_it_is();
    every_byte();
    percent();
    numbered();
    entities();
    base64();
  }

 private:
  [[nodiscard]] bool holds(std::string_view some) const {
    return secret_.find_first_of(some) != std::string_view::npos;
  }
  void give(bool stands_in_json = true) {
    if (form_.size() >= least_) take_({form_, stands_in_json});
    wipe(form_);
  }
  static void wipe(std::string& text) {
    ::sodium_memzero(text.data(), text.capacity());
    text.clear();
  }
  // Also as JSON holds the form that is there, and as JSON holds that.
  void give_nested(bool slashes) {
    for (int level = 1; level < json_levels; ++level) {
      put_escaped(next_, form_, slashes);
      const bool same = next_ == form_;
      if (!same) give();
      std::swap(form_, next_);
      wipe(next_);
      if (same) break;
    }
    give();
  }
  // What `put` appends, with slashes as they are, with those of the innermost JSON escaped, and with all.
  template <class Put>
  void give_json(const Put& put) {
    put(false), give_nested(false);
    if (!holds("/")) return;
    put(true), give_nested(false);
    put(true), give_nested(true);
  }
  void as_it_is() {
    form_ += secret_;
    give(!holds("\\\""));
    give_json([this](bool slashes) { put_escaped(form_, secret_, slashes); });
  }
  void every_byte() {
    for (const auto digits : {lower_digits, upper_digits}) {
      for (const auto* const prefix : {"", "%"}) put_prefixed(form_, secret_, prefix, digits), give();
      put_prefixed(form_, secret_, "\\u00", digits), give_nested(false);
    }
  }
  void give_if_other(bool stands_in_json = true) {
    if (form_ == secret_)
      form_.clear();
    else
      give(stands_in_json);
  }
  void percent() {
    for (const auto left : left_in_percent) {
      for (const auto digits : {lower_digits, upper_digits})
        put_percent(form_, secret_, left, digits), give_if_other();
    }
  }
  void numbered() {
    for (const auto some : numbered_in_json) {
      if (!holds(some)) continue;
      for (const auto digits : {lower_digits, upper_digits})
        give_json([&](bool slashes) { put_numbered(form_, secret_, some, slashes, digits); });
    }
  }
  void entities() {
    for (const auto& some : entities_of_html) put_entities(form_, secret_, some), give_if_other(!holds("\\"));
  }
  void base64() {
    for (const std::size_t before : {0u, 1u, 2u}) {
      for (const auto alphabet : {base64_alphabet, base64url_alphabet})
        put_base64(form_, secret_, before, alphabet), give();
    }
  }

  std::string_view secret_;
  std::size_t least_;
  const std::function<void(const SecretForm&)>& take_;
  std::string form_, next_;
};

}  // namespace

void each_secret_form(std::string_view secret, std::size_t least,
                      const std::function<void(const SecretForm&)>& take) {
  const auto word = word_of(secret, least);
  Writer(word, least, take).write();
  if (const auto value = value_of(word); value.size() >= least) Writer(value, least, take).write();
}

}  // namespace agentrouter::base
