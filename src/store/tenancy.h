#pragma once
// Who shares a server: workspaces, and the keys that open them. A key is kept as its SHA-256; the key itself
// is shown once, to whoever had it made.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace agentrouter::store {

// Whose runs, uploads, webhooks and budgets are apart from those of everybody else. Not what an agent works
// on.
struct WorkspaceRecord {
  std::string id;  // 1 to 64 of a-z, 0-9, - and _
  std::string name;
  base::Time created_at;
  bool disabled = false;    // no key opens it; what runs in it goes on
  std::int64_t number = 0;  // in the order of their making; the store gives it
};

struct ApiKey {
  std::string id;      // "key_" and the begin of the hash: how the audit chain names it
  std::string hash;    // sha256 hex of the key
  std::string prefix;  // how the key begins, for people who look for it
  std::string name;
  std::vector<std::string> workspaces;  // that it opens; none: every one
  std::vector<std::string> scopes;      // runs:read, runs:write, approvals:decide, admin
  std::string created_by;               // the id of the key that made it
  base::Time created_at;
  std::optional<base::Time> expires_at = {};    // from then on it opens nothing
  std::optional<base::Time> last_used_at = {};  // to the minute
  std::optional<base::Time> revoked_at = {};
  std::string replaced_by = {};  // the id of the key that a rotation made of it; empty for none
  std::int64_t number = 0;       // in the order of their making; the store gives it

  [[nodiscard]] bool holds(base::Time now) const { return !revoked_at && (!expires_at || *expires_at > now); }
};

}  // namespace agentrouter::store
