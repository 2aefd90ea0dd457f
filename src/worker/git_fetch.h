#pragma once
// A repository becomes a base tree: looked up in the cache where its commit is known, else fetched by
// `agentrouter fetcher` in a sandbox of its own, which is gone before this ends, however it ends. Each of its
// submodules, when they are asked for, is fetched likewise, one after the other: a fetcher reaches one
// repository and has one credential. The tree is put together at the end.
//
// Who writes a .gitmodules has not the server's rights: its credential goes only to submodules of the server
// that the run's own repository is read from, named by a repository that was read with it, and a folder of
// this machine is a submodule only of another one.

#include "keeper/fetch/fetch_plan.h"
#include "worker/run_driver.h"
#include "worker/tree_parts.h"

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

  // Errors, with what to tell: reason workspace_submodule_forbidden, workspace_unavailable,
  // workspace_auth_failed, workspace_ref_not_found, workspace_subdir_not_found, workspace_too_large,
  // workspace_timeout, sandbox_unavailable; cancelled after stop().
  base::Task<base::Result<FetchedTree>> run();
  // Makes run() resume soon, and leave nothing.
  void stop();
  // Another worker has the attempt: stop(), and nothing of it is touched any more.
  void abandon();

 private:
  // One repository as it came: its tar, or the tree that was there already.
  struct Repository {
    keeper::ResolvedRef at;
    std::optional<FetchedTree> cached;
    base::Fd tar;
    std::vector<keeper::Submodule> submodules;
  };
  // Whether the server's own credential is used.
  enum class Rights { own, none };
  // A submodule that is still to be fetched.
  struct Due {
    std::string path;
    std::string parent_url;
    keeper::Submodule module;
    unsigned depth = 1;  // of nesting
    Rights rights = Rights::own;  // of the parent
  };
  enum class Cache { asked, left_out };

  base::Task<base::Result<FetchedTree>> get_tree();
  base::Task<base::Result<Repository>> get(keeper::FetchPlan plan, Cache cache);
  base::Task<base::Result<Repository>> talk(const keeper::FetchPlan& plan, Cache cache);
  base::Task<base::Result<std::vector<TreePart>>> get_submodules(std::vector<keeper::Submodule> modules);
  base::Task<base::Result<keeper::FetchPlan>> plan_of(Due& due) const;
  [[nodiscard]] base::Result<std::string> url_of(const Due& due) const;
  [[nodiscard]] std::vector<Due> dues_of(const Due* parent, const std::string& url,
                                         const std::vector<keeper::Submodule>& modules) const;
  [[nodiscard]] std::string credential_for(const keeper::FetchPlan& plan) const;
  base::Result<base::Fd> launch(const keeper::FetchPlan& plan);
  base::Task<base::Result<keeper::FetchAnswer>> next_answer();
  base::Task<base::Result<FetchedTree>> take_tree(std::string name, keeper::ResolvedRef at,
                                                  std::vector<TreePart> parts);
  base::Task<void> clean_up();
  [[nodiscard]] keeper::FetchPlan plan() const;
  [[nodiscard]] keeper::FetchPlan plan_for(model::GitSource source, Rights rights) const;
  // Of all trees of a commit, and of the one with this branch checked out.
  [[nodiscard]] std::string prefix_of(const std::string& commit) const;
  [[nodiscard]] std::string name_of(const keeper::ResolvedRef& at) const;
  [[nodiscard]] std::optional<FetchedTree> known() const;
  base::Task<std::optional<FetchedTree>> known_elsewhere();
  [[nodiscard]] std::optional<FetchedTree> cached(const keeper::ResolvedRef& at) const;

  DriverContext& context_;
  const runs::Claim& claim_;
  bool stopped_ = false;
  bool abandoned_ = false;
  base::Deadline deadline_;
  std::uint64_t taken_ = 0;  // bytes of tars
  std::optional<keeper::LineSocket> lines_;
  base::Fd fetcher_;  // pidfd
  pid_t fetcher_pid_ = -1;
};

}  // namespace agentrouter::worker
