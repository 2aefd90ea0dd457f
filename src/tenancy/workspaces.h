#pragma once
// Workspaces as people manage them. A caller sees those that his key opens; whoever makes one has a key for
// every workspace. None is ever removed: its runs, its audit chain and its spending stay what they are.

#include "runs/context.h"
#include "tenancy/entry.h"

namespace agentrouter::tenancy {

// 1 to 64 of a-z, 0-9, - and _, beginning with a letter or a digit.
[[nodiscard]] bool is_workspace_id(std::string_view text);

// Errors: denied (forbidden_scope, details {needed, workspaces}): the key is one for some workspaces only.
[[nodiscard]] base::Result<void> check_opens_all(const Caller& caller);

struct NewWorkspace {
  std::string id;
  std::string name;  // empty: the id
};
// Errors: denied (forbidden_scope), conflict (workspace_exists).
[[nodiscard]] base::Result<store::WorkspaceRecord> make_workspace(store::Transaction& tx,
                                                                  const Caller& caller,
                                                                  const NewWorkspace& request,
                                                                  runs::Context context);

// Also a disabled one. Errors: not_found (workspace_unknown).
[[nodiscard]] base::Result<store::WorkspaceRecord> find_workspace(store::Reader& reader, const Caller& caller,
                                                                  std::string_view id);

struct WorkspaceChange {
  std::optional<std::string> name = {};
  std::optional<bool> disabled = {};
};
// A workspace that is disabled is opened by no key from the commit on; its runs go on.
//
// Errors: not_found (workspace_unknown), denied (forbidden_scope), conflict (workspace_needed: the default
// one).
[[nodiscard]] base::Result<store::WorkspaceRecord> change_workspace(store::Transaction& tx,
                                                                    const Caller& caller, std::string_view id,
                                                                    const WorkspaceChange& change,
                                                                    runs::Context context);

struct WorkspacePage {
  std::vector<store::WorkspaceRecord> items;
  std::optional<std::string> next = {};  // the id behind which there are more
};
// Oldest first, behind that of this id, or from the first one. Errors: not_found (workspace_unknown:
// `after`).
[[nodiscard]] base::Result<WorkspacePage> list_workspaces(store::Reader& reader, const Caller& caller,
                                                          std::string_view after, int limit);

// The Workspace of the wire.
[[nodiscard]] std::string to_wire(const store::WorkspaceRecord& workspace);

}  // namespace agentrouter::tenancy
