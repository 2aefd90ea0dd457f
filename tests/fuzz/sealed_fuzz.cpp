// covers: src/vault/sealed.cpp src/vault/master_key.cpp
// Sealed texts from arbitrary bytes, and from good ones that were changed: an error, or the value that was
// sealed, never another one. Master keys from arbitrary text: an error, or keys that are read again as they
// were.
#include "base/hmac.h"
#include "require.h"
#include "vault/master_key.h"
#include "vault/sealed.h"

using namespace agentrouter;

namespace {

const vault::Key& key() {
  static const auto one = vault::Key::of(std::string(vault::Key::bytes, 'k'));
  return one;
}

const vault::Place place{"default", "provider_key", "openai"};
constexpr std::string_view value = "sk-of-somebody";

void read(std::string_view text) {
  const auto head = vault::read_head(text);
  const auto opened = vault::open(key(), place, text);
  require(!opened || (head && opened->view() == value));
  if (!opened) require(opened.error().reason == "sealed_damaged");
}

void read_keys(std::string_view text) {
  const auto keys = vault::parse_master_keys(text, "here");
  if (!keys) return require(keys.error().reason == "master_key_invalid");
  std::string again;
  for (const auto& one : *keys) again += base::to_base64(one.view()) + "\n";
  const auto same = vault::parse_master_keys(again, "here");
  require(same && same->size() == keys->size());
  for (std::size_t i = 0; i < keys->size(); ++i) require((*same)[i].id() == (*keys)[i].id());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  read(std::string(vault::sealed_prefix) + base::to_base64(bytes));
  read_keys(bytes);
  // Each two bytes change one of a good text.
  static const auto good = vault::seal(key(), 1, place, value, base::system_entropy());
  auto raw = *base::from_base64(good.substr(vault::sealed_prefix.size()));
  const auto before = raw;
  for (std::size_t i = 0; i + 1 < size; i += 2) raw[data[i] % raw.size()] = static_cast<char>(data[i + 1]);
  const auto text = std::string(vault::sealed_prefix) + base::to_base64(raw);
  read(text);
  require(vault::open(key(), place, text).has_value() == (raw == before));
  return 0;
}
