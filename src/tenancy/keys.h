#pragma once
// Keys as people manage them. Whoever manages keys sees those that open nothing which his own does not open;
// all others look like keys that were never made. Each change has an entry in the audit chain of every
// workspace that the key opens.

#include "runs/context.h"
#include "tenancy/entry.h"

namespace agentrouter::tenancy {

inline constexpr std::size_t most_workspaces_of_key = 100;
inline constexpr std::chrono::hours longest_overlap{30 * 24};

struct NewKey {
  std::string name;
  std::vector<std::string> workspaces;  // none: every one
  std::vector<Scope> scopes;            // at least one
  std::optional<base::Time> expires_at = {};
};

struct MadeKey {
  store::ApiKey key;
  std::string text;  // the key itself: shown once, kept nowhere
};

// Errors: not_found (workspace_unknown: the caller does not open it, or there is none); denied
// (forbidden_scope: a key for every workspace is made by one for every workspace); invalid (validation_error:
// the time has passed).
[[nodiscard]] base::Result<MadeKey> make_key(store::Transaction& tx, const Caller& caller,
                                             const NewKey& request, runs::Context context);

// Errors: not_found (key_not_found).
[[nodiscard]] base::Result<store::ApiKey> find_key(store::Reader& reader, const Caller& caller,
                                                   std::string_view id);

// From the commit on it opens nothing, on every node. Repeating it changes nothing. Errors: not_found
// (key_not_found).
[[nodiscard]] base::Result<store::ApiKey> revoke_key(store::Transaction& tx, const Caller& caller,
                                                     std::string_view id, runs::Context context);

// Another key for the same. The old one holds for `overlap` yet, or until its own time if that is sooner.
//
// Errors: not_found (key_not_found); conflict (key_not_active: it holds no longer; key_replaced: it was
// rotated already).
[[nodiscard]] base::Result<MadeKey> rotate_key(store::Transaction& tx, const Caller& caller,
                                               std::string_view id, std::chrono::seconds overlap,
                                               runs::Context context);

struct KeyPage {
  std::vector<store::ApiKey> items;
  std::optional<std::string> next = {};  // the id behind which there are more
};
// Oldest first, behind the key of this id, or from the first one. Errors: not_found (key_not_found: `after`).
[[nodiscard]] base::Result<KeyPage> list_keys(store::Reader& reader, const Caller& caller,
                                              std::string_view after, int limit);

// The ApiKey of the wire; `text` is the key itself where it is shown.
[[nodiscard]] std::string to_wire(const store::ApiKey& key, base::Time now, std::string_view text = {});

}  // namespace agentrouter::tenancy
