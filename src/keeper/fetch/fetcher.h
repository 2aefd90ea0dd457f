#pragma once
// The program `agentrouter fetcher`: holds a sandbox of its own in which git fetches one repository, lets it
// reach that repository and nothing else, and leaves the tree as a tar file in the attempt's folder. It ends
// when the worker's end of its socket is closed, and its sandbox with it.

#include <functional>

#include "egress/git_gate.h"
#include "egress/lfs_client.h"
#include "keeper/fetch/git_commands.h"
#include "keeper/fetch/lfs_pointers.h"
#include "keeper/notices.h"

namespace agentrouter::keeper {

// Fetches in steps, each a process inside. Everything passed outlives it.
class Fetch {
 public:
  struct Needs {
    base::Executor executor;
    Sandbox& sandbox;
    Notices& notices;
    int attempt_dir = -1;
    const FetchPlan& plan;
    const egress::GitWay* gate = nullptr;  // none: a folder of this machine
    egress::LfsClient* lfs = nullptr;      // none likewise
  };
  explicit Fetch(Needs needs);

  // Which commit the plan's ref names.
  base::Task<tl::expected<ResolvedRef, FetchFailure>> resolve();
  // The tree at that commit as fetch_file below the attempt's folder. Gives its submodules, when they were
  // asked for; their folders are empty.
  base::Task<tl::expected<std::vector<Submodule>, FetchFailure>> fetch(ResolvedRef at);

 private:
  struct Ended {
    bool worked = false;
    std::string out;
    std::string err;
  };
  using Reader = std::function<bool(std::string_view piece)>;
  using Step = tl::expected<Ended, FetchFailure>;

  base::Task<Step> run(Argv argv, Reader reader = {}, int out = -1, int in = -1);
  base::Task<tl::expected<void, FetchFailure>> must(Argv argv);
  base::Task<tl::expected<void, FetchFailure>> get_objects(const ResolvedRef& at);
  base::Task<tl::expected<void, FetchFailure>> check_size(const ResolvedRef& at);
  base::Task<tl::expected<void, FetchFailure>> check_folder(const ResolvedRef& at);
  // Contents in place of LFS pointers.
  base::Task<tl::expected<void, FetchFailure>> fill_lfs(const ResolvedRef& at);
  base::Task<tl::expected<std::vector<LfsPointer>, FetchFailure>> lfs_pointers(const ResolvedRef& at);
  base::Task<tl::expected<void, FetchFailure>> get_lfs(std::vector<LfsPointer> pointers);
  base::Task<tl::expected<void, FetchFailure>> store_object(const egress::LfsSource& source,
                                                            std::string path);
  base::Task<tl::expected<void, FetchFailure>> copy_lfs(LfsPointer pointer);
  base::Task<tl::expected<void, FetchFailure>> check_out_and_pack(const ResolvedRef& at);
  base::Task<tl::expected<void, FetchFailure>> pack();
  base::Task<tl::expected<std::vector<Submodule>, FetchFailure>> submodules(const ResolvedRef& at);
  base::Task<bool> has(std::string object, std::string_view type);
  [[nodiscard]] FetchFailure failure(const Ended& ended) const;
  [[nodiscard]] FetchFailure too_large(const std::string& what) const;

  Needs needs_;
  base::Deadline deadline_;
};

// The whole program. Returns the exit status.
[[nodiscard]] int run_fetcher();

}  // namespace agentrouter::keeper
