#pragma once
// What the store keeps of secrets: only what room `vault` has sealed. It cannot open any of it.

#include <optional>
#include <string>

#include "base/clock.h"

namespace agentrouter::store {

// A key that seals values of one workspace, wrapped by a master key.
struct DataKey {
  std::string workspace;
  int version = 1;         // 1, 2, ... within the workspace; sealed values name it
  std::string wrapped_by;  // which master key
  std::string wrapped;
  base::Time created_at;
  bool retiring = false;  // another one takes its place: what it has sealed is being sealed anew
};

// A workspace's own key at a model provider.
struct ProviderKey {
  std::string workspace;
  std::string provider;  // "openai", "anthropic"
  std::string sealed;
  std::string hint;      // the last characters of the key, for people; may be empty
  std::string base_url;  // empty: the server's own for this provider
  std::string set_by;    // the name of the API key that a person used
  base::Time created_at;
  base::Time changed_at;
  std::optional<base::Time> used_at = {};  // a run was started with it
};

}  // namespace agentrouter::store
