#include "egress/key_filter.h"

#include <algorithm>

namespace agentrouter::egress {

namespace {

constexpr std::string_view plain_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view lower_digits = "0123456789abcdef";
constexpr std::string_view upper_digits = "0123456789ABCDEF";
// Of all forms together, for each byte: 6 of base64 (four bytes for three, rounded), 2 of hex, 2 of percent, JSON.
constexpr std::size_t bytes_for_each = 6 * 2 + 2 * 2 + 2 * 3 + 2;

void put(SecretBuffer& out, char c) {
  out.append({&c, 1});
}

void put_hex(SecretBuffer& out, unsigned char byte, std::string_view digits) {
  put(out, digits[byte >> 4]);
  put(out, digits[byte & 15]);
}

// The letters of base64 that depend on the key alone when so many bytes of something else stand before it.
void put_base64(SecretBuffer& out, std::string_view key, std::size_t before, std::string_view alphabet) {
  const auto bit_at = [&](std::size_t bit) {
    const auto byte = static_cast<unsigned char>(key[bit / 8 - before]);
    return static_cast<unsigned>(byte >> (7 - bit % 8) & 1);
  };
  for (std::size_t letter = (before * 8 + 5) / 6; (letter + 1) * 6 <= (before + key.size()) * 8; ++letter) {
    unsigned index = 0;
    for (std::size_t bit = letter * 6; bit < letter * 6 + 6; ++bit) index = index << 1 | bit_at(bit);
    put(out, alphabet[index]);
  }
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void put_percent(SecretBuffer& out, std::string_view key, std::string_view digits) {
  for (const char c : key) {
    if (!is_unreserved(c)) put(out, '%');
    if (is_unreserved(c)) {
      put(out, c);
    } else {
      put_hex(out, static_cast<unsigned char>(c), digits);
    }
  }
}

void put_json(SecretBuffer& out, std::string_view key) {
  for (const char c : key) {
    if (c == '"' || c == '\\') put(out, '\\');
    put(out, c);
  }
}

}  // namespace

KeyFilter::KeyFilter(std::string_view key) : key_(key.size() < least_bytes ? "" : key) {
  borders_.resize(key_.size());
  for (std::size_t i = 1, length = 0; i < key_.size(); ++i) {
    while (length > 0 && key_[i] != key_[length]) length = borders_[length - 1];
    if (key_[i] == key_[length]) ++length;
    borders_[i] = static_cast<std::uint16_t>(length);
  }
}

KeyFilter::Verdict KeyFilter::feed(std::string_view bytes, std::string& out) {
  if (key_.empty()) {
    out += bytes;
    return Verdict::clean;
  }
  while (!bytes.empty()) {
    if (matched_ == 0) {
      const auto next = std::min(bytes.find(key_[0]), bytes.size());
      out += bytes.substr(0, next);
      bytes.remove_prefix(next);
      if (bytes.empty()) break;
    }
    const char c = bytes[0];
    bytes.remove_prefix(1);
    while (matched_ > 0 && key_[matched_] != c) {
      const std::size_t kept = borders_[matched_ - 1];
      out += key_.substr(0, matched_ - kept);
      matched_ = kept;
    }
    if (key_[matched_] != c) {
      out += c;
    } else if (++matched_ == key_.size()) {
      return Verdict::found;
    }
  }
  return Verdict::clean;
}

void KeyFilter::finish(std::string& out) {
  out += key_.substr(0, matched_);
  matched_ = 0;
}

bool KeyFilter::occurs_in(std::string_view text) const {
  return !key_.empty() && text.find(key_) != std::string_view::npos;
}

KeyForms::KeyForms(std::string_view key) : text_(bytes_for_each * std::max<std::size_t>(key.size(), 1)) {
  forms_.push_back(key);
  const auto add = [&](const auto& write) {
    const auto begin = text_.size();
    write();
    const auto form = text_.view().substr(begin);
    if (std::find(forms_.begin(), forms_.end(), form) == forms_.end()) forms_.push_back(form);
  };
  for (const auto alphabet : {plain_alphabet, url_alphabet}) {
    for (const std::size_t before : {0, 1, 2}) add([&] { put_base64(text_, key, before, alphabet); });
  }
  for (const auto digits : {lower_digits, upper_digits}) {
    add([&] {
      for (const char c : key) put_hex(text_, static_cast<unsigned char>(c), digits);
    });
    add([&] { put_percent(text_, key, digits); });
  }
  add([&] { put_json(text_, key); });
}

std::vector<KeyFilter> KeyForms::filters() const {
  std::vector<KeyFilter> filters;
  // What is too short to be searched for as it is, is so in every form.
  if (forms_.front().size() < KeyFilter::least_bytes) return filters;
  for (const auto form : forms_) filters.emplace_back(form);
  return filters;
}

KeyFilter::Verdict KeyFilters::feed(std::string_view bytes, std::string& out) {
  using Verdict = KeyFilter::Verdict;
  auto verdict = Verdict::clean;
  std::string piece(bytes);
  for (auto& filter : filters_) {
    std::string passed;
    if (filter.feed(piece, passed) == Verdict::found) verdict = Verdict::found;
    piece = std::move(passed);
  }
  out += piece;
  return verdict;
}

KeyFilter::Verdict KeyFilters::finish(std::string& out) {
  using Verdict = KeyFilter::Verdict;
  std::string piece;
  for (auto& filter : filters_) {
    std::string passed;
    if (filter.feed(piece, passed) == Verdict::found) return Verdict::found;
    filter.finish(passed);
    piece = std::move(passed);
  }
  out += piece;
  return Verdict::clean;
}

bool KeyFilters::occurs_in(std::string_view text) const {
  return std::any_of(filters_.begin(), filters_.end(),
                     [text](const KeyFilter& filter) { return filter.occurs_in(text); });
}

}  // namespace agentrouter::egress
