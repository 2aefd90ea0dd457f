#pragma once
// Where sealed values lie in the store, and what each is bound to.

#include <vector>

#include "store/store.h"
#include "vault/sealed.h"

namespace agentrouter::vault {

[[nodiscard]] Place place_of(const store::ProviderKey& key);
[[nodiscard]] Place place_of(const store::DataKey& key);
// Of both of its secrets: the newer one becomes the old one as it is.
[[nodiscard]] Place secret_place(const store::Webhook& webhook);

enum class Field { provider_key, webhook_secret, webhook_old_secret };

struct StoredValue {
  Field field = Field::provider_key;
  Place place;
  std::string text;  // sealed; or in clear, if a version before there was a vault has written it
};

// Of all workspaces.
[[nodiscard]] std::vector<StoredValue> stored_values(store::Reader& reader);
// False when the value is not there any more as it was.
[[nodiscard]] bool replace_value(store::Transaction& tx, const StoredValue& before, std::string text);

}  // namespace agentrouter::vault
