#include "runs/prepare.h"

#include "runs/payloads.h"

namespace agentrouter::runs {

namespace {

base::Result<model::Run> preparing_run(store::Transaction& tx, const Fence& fence) {
  AGENTROUTER_TRY(const auto attempt, check_fence(tx, fence));
  auto run = tx.run(attempt.run_id);
  AGENTROUTER_CHECK(run.has_value());
  if (model::is_terminal(run->status) || !attempt.closing.empty())
    return tl::unexpected(run_not_active(run->id));
  return std::move(*run);
}

void append(store::Transaction& tx, const model::RunId& run, std::string_view type,
            const json::object& payload, Context context) {
  tx.append(run, make_event(type, model::EventSource::worker, model::Visibility::open, payload,
                            context.clock.now()));
}

}  // namespace

base::Result<void> workspace_preparing(store::Transaction& tx, const Fence& fence, Context context) {
  AGENTROUTER_TRY(const auto run, preparing_run(tx, fence));
  append(tx, run.id, "workspace.preparing", run.workspace.to_json(), context);
  return {};
}

base::Result<model::Run> workspace_prepared(store::Transaction& tx, const Fence& fence,
                                            const PreparedTree& prepared, Context context) {
  AGENTROUTER_TRY(auto run, preparing_run(tx, fence));
  run.workspace.tree = prepared.tree;
  run.workspace.commit = prepared.commit;
  tx.update_run(run);
  json::object payload{{"tree", prepared.tree}, {"commit", prepared.commit}};
  if (!prepared.branch.empty()) payload["branch"] = prepared.branch;
  payload["files"] = prepared.files;
  payload["bytes"] = prepared.bytes;
  payload["cached"] = prepared.cached;
  append(tx, run.id, "workspace.prepared", payload, context);
  return run;
}

}  // namespace agentrouter::runs
