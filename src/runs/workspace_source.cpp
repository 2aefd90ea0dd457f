#include "runs/workspace_source.h"

#include "runs/conversations.h"
#include "runs/payloads.h"
#include "runs/turn_state.h"

namespace agentrouter::runs {

namespace {

base::Result<model::Workspace> of_upload(store::Reader& reader, model::Workspace asked, base::Time now) {
  const auto upload = reader.upload(asked.upload_id);
  if (!upload || upload->expires_at <= now) {
    return base::fail(base::Code::not_found,
                      "there is no upload " + asked.upload_id + ", or its time is over: upload it again",
                      "upload_not_found");
  }
  asked.tree = upload->tree;
  return asked;
}

// The same base, and on it what that run, or the turns before it, have changed.
base::Result<SettledWorkspace> of_run(store::Reader& reader, const model::RunId& id, base::Time now) {
  const auto run = reader.run(id);
  if (!run) return tl::unexpected(run_not_found(id));
  if (!model::is_terminal(run->status))
    return base::fail(base::Code::conflict, "run " + id.str() + " has not ended", "run_busy");
  AGENTROUTER_TRY(auto state, state_after(reader, run->conversation_id, run->turn_number));
  if (!state && is_over(conversation_of(reader, *run), now))
    return base::fail(base::Code::conflict, "the files of run " + id.str() + " are gone", "session_closed");
  SettledWorkspace settled{run->workspace};
  settled.workspace.from_run = id;
  if (state) {
    state->run_id = id;
    state->turn_number = 0;
    settled.begins_with = std::move(state);
  }
  return settled;
}

}  // namespace

base::Result<SettledWorkspace> settle_workspace(store::Reader& reader, const model::Workspace& asked,
                                                Context context) {
  if (asked.from_run) return of_run(reader, *asked.from_run, context.clock.now());
  if (asked.kind != model::WorkspaceKind::upload) return SettledWorkspace{asked};
  AGENTROUTER_TRY(auto workspace, of_upload(reader, asked, context.clock.now()));
  return SettledWorkspace{std::move(workspace)};
}

}  // namespace agentrouter::runs
