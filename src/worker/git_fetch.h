#pragma once
// A repository becomes a base tree: looked up in the cache where its commit is known, else fetched by
// `agentrouter fetcher` in a sandbox of its own, which is gone before this ends, however it ends.

#include "keeper/fetch/fetch_plan.h"
#include "worker/run_driver.h"

namespace agentrouter::worker {

struct FetchedTree {
  workspace::Trees::Held tree;
  std::string commit;
  std::string branch;
};

class GitFetch {
 public:
  // Everything is borrowed and outlives it.
  GitFetch(DriverContext& context, const runs::Claim& claim);
  ~GitFetch();

  // Errors, with what to tell: reason workspace_unavailable, workspace_auth_failed, workspace_ref_not_found,
  // workspace_subdir_not_found, workspace_too_large, workspace_timeout, sandbox_unavailable; cancelled after
  // stop().
  base::Task<base::Result<FetchedTree>> run();
  // Makes run() resume soon, and leave nothing.
  void stop();

 private:
  base::Task<base::Result<FetchedTree>> talk();
  base::Result<base::Fd> launch(const keeper::FetchPlan& plan);
  base::Task<base::Result<keeper::FetchAnswer>> next_answer();
  base::Task<base::Result<FetchedTree>> take_tree(std::string name, keeper::ResolvedRef at);
  base::Task<void> clean_up();
  [[nodiscard]] keeper::FetchPlan plan() const;
  // Of all trees of a commit, and of the one with this branch checked out.
  [[nodiscard]] std::string prefix_of(const std::string& commit) const;
  [[nodiscard]] std::string name_of(const keeper::ResolvedRef& at) const;
  [[nodiscard]] std::optional<FetchedTree> known() const;
  [[nodiscard]] std::optional<FetchedTree> cached(const keeper::ResolvedRef& at) const;

  DriverContext& context_;
  const runs::Claim& claim_;
  bool stopped_ = false;
  std::optional<keeper::LineSocket> lines_;
  base::Fd fetcher_;  // pidfd
  pid_t fetcher_pid_ = -1;
};

}  // namespace agentrouter::worker
