#include "vault/master_key.h"

#include <sodium.h>

#include <optional>

#include "base/hmac.h"

namespace agentrouter::vault {

namespace {

using Lock = base::SecretBuffer::Lock;

constexpr std::size_t most_keys = 16;
constexpr std::string_view blanks = " \t\r\n,";

std::optional<Key> parse_key(std::string_view word) {
  base::SecretBuffer raw(Key::bytes, Lock::where_possible);
  std::size_t size = 0;
  const char* end = nullptr;
  const bool hex = word.size() == 2 * Key::bytes;
  auto* place = raw.extend(Key::bytes);
  const int status = hex ? ::sodium_hex2bin(place, Key::bytes, word.data(), word.size(), nullptr, &size, &end)
                         : ::sodium_base642bin(place, Key::bytes, word.data(), word.size(), nullptr, &size,
                                               &end, sodium_base64_VARIANT_ORIGINAL);
  if (status != 0 || size != Key::bytes || end != word.data() + word.size()) return std::nullopt;
  return Key::of(raw.view());
}

}  // namespace

tl::unexpected<base::Error> refuse_master_key(const std::string& where, const std::string& why) {
  return base::fail(
      base::Code::invalid,
      "cannot use the master key of " + where + ": " + why + ". One is made by: agentrouter vault generate",
      "master_key_invalid");
}

std::string new_master_key(base::Entropy& entropy) {
  const auto key = Key::random(entropy);
  return base::to_base64(key.view());
}

base::Result<std::vector<Key>> parse_master_keys(std::string_view text, const std::string& where) {
  std::vector<Key> keys;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line = line.substr(0, line.find('#'));
    for (auto begin = line.find_first_not_of(blanks); begin != std::string_view::npos;
         begin = line.find_first_not_of(blanks, begin)) {
      const auto word = line.substr(begin, line.find_first_of(blanks, begin) - begin);
      begin += word.size();
      auto key = parse_key(word);
      if (!key) return refuse_master_key(where, "it is not 32 bytes in base64 or hex");
      if (keys.size() == most_keys) return refuse_master_key(where, "there are more than 16 keys");
      keys.push_back(std::move(*key));
      if (begin >= line.size()) break;
    }
  }
  if (keys.empty()) return refuse_master_key(where, "there is none");
  return keys;
}

}  // namespace agentrouter::vault
