// What a run's workspace stands on: a folder of this machine, a tree that was sent, a repository.

#include "base/shown.h"
#include "runs/prepare.h"
#include "worker/git_fetch.h"
#include "worker/run_driver.h"
#include "worker/shared_trees.h"

namespace agentrouter::worker {

// What the workspace stands on, or why it is not there.
base::Task<std::optional<model::RunFailure>> RunDriver::find_base() {
  lower_ = claim_.attempt.lower_path;
  if (claim_.run.workspace.kind == model::WorkspaceKind::git) co_return co_await fetch_repository();
  if (claim_.run.workspace.kind == model::WorkspaceKind::path) co_return co_await admit_path();
  const std::string tree = claim_.run.workspace.tree;
  if (tree.empty()) co_return std::nullopt;
  auto held = co_await find_tree(tree);
  if (!held) {
    co_return model::RunFailure{
        "workspace_failed",
        "The files to work on are gone (" + held.error().message + "): send them again, with a new run",
        "workspace_unavailable"};
  }
  lower_ = held->path.string();
  tree_hold_ = std::move(held->hold);
  co_return std::nullopt;
}

// As it is on this machine, now.
base::Task<std::optional<model::RunFailure>> RunDriver::admit_path() {
  if (!context_.config.admit_path || lower_.empty()) co_return std::nullopt;
  auto real = co_await context_.pool.run([this] { return context_.config.admit_path(lower_); });
  if (!real) {
    co_return model::RunFailure{"workspace_failed", "The workspace cannot be used on this machine: " + real.error().message,
                                real.error().reason.empty() ? "workspace_forbidden" : real.error().reason};
  }
  lower_ = std::move(*real);
  co_return std::nullopt;
}

base::Task<base::Result<workspace::Trees::Held>> RunDriver::find_tree(std::string tree) {
  if (context_.needs.shared_trees != nullptr) {
    auto shared = co_await context_.needs.shared_trees->get(tree, claim_.attempt.id.str());
    co_return shared;
  }
  auto* const trees = context_.needs.trees;
  auto held = co_await context_.pool.run([trees, &tree]() -> base::Result<workspace::Trees::Held> {
    if (trees == nullptr) return base::fail(base::Code::not_found, "this worker has no base trees");
    return trees->find(tree);
  });
  co_return held;
}

base::Task<std::optional<model::RunFailure>> RunDriver::fetch_repository() {
  const runs::Fence fence = claim_.fence();
  auto begun = co_await context_.needs.store.write([this, &fence](store::Transaction& tx) {
    return runs::workspace_preparing(tx, fence, context_.now());
  });
  base::value_or_throw(std::move(begun));
  GitFetch fetch(context_, claim_);
  fetch_ = &fetch;
  if (cancel_due_ || context_.stopping) fetch.stop();
  auto fetched = co_await fetch.run();
  fetch_ = nullptr;
  if (cancel_due_) co_return model::RunFailure{"run_cancelled", "The run was cancelled", {}};
  check_stopping();
  if (!fetched) {
    const auto& error = fetched.error();
    if (error.reason == "sandbox_unavailable" || error.reason == launcher_lost) co_return model::RunFailure{error.reason, error.message, {}};
    // Its words may be a remote's.
    co_return model::RunFailure{"workspace_failed",
                                base::shown("The repository could not be fetched: " + error.message),
                                error.reason.empty() ? "workspace_unavailable" : error.reason};
  }
  const runs::PreparedTree prepared{.tree = fetched->tree.name,
                                    .commit = fetched->commit,
                                    .branch = fetched->branch,
                                    .files = static_cast<std::int64_t>(fetched->tree.content.files),
                                    .bytes = static_cast<std::int64_t>(fetched->tree.content.bytes),
                                    .cached = fetched->tree.cached};
  auto run = co_await context_.needs.store.write([this, &fence, &prepared](store::Transaction& tx) {
    return runs::workspace_prepared(tx, fence, prepared, context_.now());
  });
  claim_.run = base::value_or_throw(std::move(run));
  lower_ = fetched->tree.path.string();
  tree_hold_ = std::move(fetched->tree.hold);
  co_return std::nullopt;
}

}  // namespace agentrouter::worker
