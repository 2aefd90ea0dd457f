#include "tenancy/workspaces.h"

#include <algorithm>

#include "base/json.h"
#include "runs/audit.h"

namespace agentrouter::tenancy {

namespace {

using base::Code;
using base::Result;
using store::WorkspaceRecord;

constexpr std::size_t longest_id = 64;

void audit_workspace(store::Transaction& tx, const WorkspaceRecord& workspace, std::string_view type,
                     const Caller& caller, base::Time now) {
  const json::object about{
      {"workspaceId", workspace.id}, {"name", workspace.name}, {"disabled", workspace.disabled}};
  runs::audit_access(tx, {workspace.id, type, caller.key, about, now});
}

}  // namespace

Result<void> check_opens_all(const Caller& caller) {
  if (caller.opens_all()) return {};
  return base::fail(Code::denied, "This needs a key for every workspace", "forbidden_scope",
                    R"({"needed":"admin","workspaces":"*"})");
}

bool is_workspace_id(std::string_view text) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= longest_id && plain(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return plain(c) || c == '-' || c == '_'; });
}

Result<WorkspaceRecord> make_workspace(store::Transaction& tx, const Caller& caller,
                                       const NewWorkspace& request, runs::Context context) {
  if (auto may = check_opens_all(caller); !may) return tl::unexpected(may.error());
  if (tx.workspace(request.id))
    return base::fail(Code::conflict, "There is a workspace " + request.id + " already", "workspace_exists");
  const auto now = context.clock.now();
  tx.put_workspace({request.id, request.name.empty() ? request.id : request.name, now});
  auto made = tx.workspace(request.id);
  AGENTROUTER_CHECK(made.has_value());
  audit_workspace(tx, *made, "workspace.created", caller, now);
  return std::move(*made);
}

Result<WorkspaceRecord> find_workspace(store::Reader& reader, const Caller& caller, std::string_view id) {
  auto found = caller.opens(id) ? reader.workspace(id) : std::nullopt;
  if (found) return std::move(*found);
  return tl::unexpected(workspace_unknown(id));
}

Result<WorkspaceRecord> change_workspace(store::Transaction& tx, const Caller& caller, std::string_view id,
                                         const WorkspaceChange& change, runs::Context context) {
  AGENTROUTER_TRY(auto workspace, find_workspace(tx, caller, id));
  if (auto may = check_opens_all(caller); !may) return tl::unexpected(may.error());
  if (change.disabled.value_or(false) && workspace.id == model::default_workspace)
    return base::fail(Code::conflict, "The default workspace is what the server's own key opens: it stays",
                      "workspace_needed");
  if (change.name) workspace.name = *change.name;
  if (change.disabled) workspace.disabled = *change.disabled;
  tx.put_workspace(workspace);
  audit_workspace(tx, workspace, "workspace.changed", caller, context.clock.now());
  return workspace;
}

Result<WorkspacePage> list_workspaces(store::Reader& reader, const Caller& caller, std::string_view after,
                                      int limit) {
  constexpr int looked_at = 500;
  std::int64_t behind = 0;
  if (!after.empty()) {
    AGENTROUTER_TRY(const auto last, find_workspace(reader, caller, after));
    behind = last.number;
  }
  WorkspacePage page;
  for (;;) {
    auto all = reader.workspaces(behind, looked_at);
    for (auto& workspace : all) {
      behind = workspace.number;
      if (!caller.opens(workspace.id)) continue;
      if (static_cast<int>(page.items.size()) == limit) {
        page.next = page.items.back().id;
        return page;
      }
      page.items.push_back(std::move(workspace));
    }
    if (static_cast<int>(all.size()) < looked_at) return page;
  }
}

std::string to_wire(const WorkspaceRecord& workspace) {
  return base::to_text(json::object{{"id", workspace.id},
                                    {"name", workspace.name},
                                    {"disabled", workspace.disabled},
                                    {"createdAt", base::to_iso(workspace.created_at)}});
}

}  // namespace agentrouter::tenancy
