#pragma once
// From what a request brings, a key and perhaps the name of a workspace, to who calls and where. What a
// workspace of others looks like to a caller is settled here: like one that was never made.

#include <string>
#include <vector>

#include "store/store.h"
#include "tenancy/scope.h"

namespace agentrouter::tenancy {

struct Caller {
  std::string key;                      // its id
  std::vector<std::string> workspaces;  // that it opens; none: every one
  std::vector<Scope> scopes;
  bool is_stored = false;  // in the store; otherwise it is the server's own key

  // Of the server's own key: admin of every workspace.
  [[nodiscard]] static Caller of_server(std::string key);

  [[nodiscard]] bool has(Scope scope) const;  // or admin
  [[nodiscard]] bool opens(std::string_view workspace) const;
  [[nodiscard]] bool opens_all() const { return workspaces.empty(); }
};

// Who has this key, which is_key_text(). Errors: denied (unauthorized): no such key, or it holds no longer.
[[nodiscard]] base::Result<Caller> caller_of(store::Reader& reader, std::string_view key, base::Time now);

// The workspace that a request of this caller is about. `wanted` is its x-workspace-id, or empty: then it is
// the caller's only one, or, for the server's own key, the default one.
//
// Errors: invalid (workspace_required, details {header}); not_found (workspace_unknown): the caller does not
// open it, there is none, or it is disabled. One answer for all of these; what the caller does not open is
// not even looked for.
[[nodiscard]] base::Result<std::string> workspace_for(store::Reader& reader, const Caller& caller,
                                                      const std::string& wanted);

// Whether a caller who was judged when his request came may still do what he could then; `workspace` is what
// the request is about, empty for none in particular. Asked in the transaction that writes, nobody writes
// behind the commit that shuts him out.
//
// Errors: denied (unauthorized): the key holds no longer; not_found (workspace_unknown): the workspace is
// disabled.
[[nodiscard]] base::Result<void> check_again(store::Reader& reader, const Caller& caller,
                                             const std::string& workspace, base::Time now);

// The caller with those of his workspaces that are not disabled, for requests about keys and workspaces. A
// caller for every workspace stays one: somebody must enable them again, and revoke their keys.
//
// Errors: not_found (workspace_unknown): all of them are disabled.
[[nodiscard]] base::Result<Caller> where_open(store::Reader& reader, const Caller& caller);

// Errors: denied (forbidden_scope, details {needed, scopes}).
[[nodiscard]] base::Result<void> check_scope(const Caller& caller, const std::vector<Scope>& any_of);

[[nodiscard]] base::Error unauthorized();
[[nodiscard]] base::Error workspace_unknown(std::string_view id);

}  // namespace agentrouter::tenancy
