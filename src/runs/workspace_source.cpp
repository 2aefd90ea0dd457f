#include "runs/workspace_source.h"

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

}  // namespace

base::Result<model::Workspace> settle_workspace(store::Reader& reader, const model::Workspace& asked,
                                                Context context) {
  if (asked.kind == model::WorkspaceKind::upload) return of_upload(reader, asked, context.clock.now());
  return asked;
}

}  // namespace agentrouter::runs
