#pragma once
// Keys of model providers that a workspace brings along: use cases over a transaction. A value goes in and is
// never shown again.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "vault/vault.h"

namespace agentrouter::vault {

struct ProviderKeyRules {
  // What keys may name as their base URL. The server's own is always one of them, and is meant by none.
  std::vector<std::string> base_urls = {};
  bool required = false;  // the server's own keys are for nobody
};

struct NewProviderKey {
  std::string workspace;
  std::string provider;
  std::string value;
  std::string base_url = {};  // empty: the server's own
  std::string set_by = {};    // the name of the API key
};

inline constexpr std::size_t least_key_bytes = 8;
inline constexpr std::size_t most_key_bytes = 4096;

// "openai", "anthropic".
[[nodiscard]] bool is_provider(std::string_view name);
// What fits into a header field: printable ASCII without blanks, of 8 to 4096 bytes.
[[nodiscard]] bool is_provider_key(std::string_view value);

struct PutProviderKey {
  store::ProviderKey key;
  bool made = false;  // there was none
};
// Inserts it, or takes the place of the one before. Runs that have one already go on with it.
//
// Errors: invalid (provider_url_refused, details {allowed}), those of seal_in.
[[nodiscard]] base::Result<PutProviderKey> put_provider_key(store::Transaction& tx,
                                                            const NewProviderKey& request,
                                                            const ProviderKeyRules& rules,
                                                            const SealingKey& key, const base::Clock& clock,
                                                            base::Entropy& entropy);

// Errors: not_found (provider_key_not_found).
[[nodiscard]] base::Result<store::ProviderKey> find_provider_key(store::Reader& reader,
                                                                 std::string_view workspace,
                                                                 std::string_view provider);
// Needs no master key. Errors: not_found (provider_key_not_found).
[[nodiscard]] base::Result<void> delete_provider_key(store::Transaction& tx, std::string_view workspace,
                                                     std::string_view provider);

// The ProviderKey of the wire.
[[nodiscard]] std::string to_wire(const store::ProviderKey& key);

}  // namespace agentrouter::vault
