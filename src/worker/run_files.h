#pragma once
// The files and the logs of a run, wherever they are: of a running one its keeper has them read inside the
// sandbox, of an ended one a process of its own reads the base tree and the kept checkpoint. Needs no worker.

#include <filesystem>

#include "base/shares.h"
#include "blobs/blob_store.h"
#include "store/store.h"
#include "worker/framed_answer.h"
#include "worker/shared_trees.h"

namespace agentrouter::worker {

// Where the files of a run are.
struct FilesPlace {
  model::Run run;
  store::Attempt attempt;
  std::optional<store::Checkpoint> checkpoint;  // there exactly when the run has ended
};
// Errors: the first four of RunFiles::ask().
[[nodiscard]] base::Result<FilesPlace> find_files(store::Reader& reader, const model::RunId& run);

// What the run stood on; none for a scratch workspace. Errors: not_found (files_gone).
[[nodiscard]] base::Result<base::Fd> open_base_tree(const FilesPlace& place,
                                                    const std::filesystem::path& data_dir);

class RunFiles {
 public:
  // Starts `agentrouter read-files kept` with these descriptors (borrowed; -1: /dev/null) and a file that has
  // the request; gives its pid.
  using StartReader = std::function<base::Result<pid_t>(int base, int archive, int out, const std::string& request)>;

  // Everything that is passed by reference outlives it.
  struct Needs {
    base::Executor executor;
    store::Store& store;
    blobs::BlobStore& blobs;
    base::Pool& pool;
    std::filesystem::path data_dir;
    StartReader start_reader;
    // Where this is, and how another machine is asked: what has to be there (a live sandbox, the folder of a run's
    // path) may be on that one. None: everything is here.
    std::string host = {};
    using Answer = base::Result<std::unique_ptr<workspace::FileAnswer>>;
    std::function<base::Task<Answer>(std::string host, model::RunId run, std::string request)> elsewhere = {};
    SharedTrees* trees = nullptr;  // none: base trees are only here
    FramedAnswer::Patience patience = {};
  };
  explicit RunFiles(Needs needs) : needs_(std::move(needs)) {}
  // Every answer is gone by now.
  ~RunFiles();

  // Errors:
  //   not_found, run_not_found
  //   conflict, run_not_started      it is queued, or ended before its workspace was there
  //   not_found, files_not_kept      it has ended and left no state
  //   not_found, files_gone          its state was thrown away, or the base tree is not there any more
  //   unavailable, worker_unreachable  they are on a machine that does not answer
  //   unavailable                    not now: its workspace is being made or taken apart, too many requests,
  //   of all
  //                                  workspaces (readers_at_most) or of its own (base::Shares)
  //   those of the request itself: file_not_found, not_a_file, not_a_folder, file_too_large,
  //   range_not_satisfiable
  // Of a log (run_logs.h) only run_not_found, worker_unreachable and those of open_log(): before there is
  // one, it is empty.
  base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> ask(model::RunId run,
                                                                       workspace::FileRequest request);
  // The same for who was asked by another machine: as JSON text, and never asked of a third one.
  base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> ask_here(model::RunId run, std::string request);

 private:
  base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> look(model::RunId run,
                                                                        std::string request, bool here_only);
  base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> look_at_log(model::RunId run,
                                                                               workspace::FileRequest request,
                                                                               bool here_only);
  base::Task<bool> has_base(const FilesPlace& place);
  base::Task<base::Result<base::Fd>> open_base(const FilesPlace& place);
  base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> ask_keeper(store::Attempt attempt,
                                                                              std::string request);
  base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> look_at_kept(FilesPlace place,
                                                                                std::string request,
                                                                                bool may_ask_elsewhere);
  base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> ask_reader(FilesPlace place,
                                                                              std::string request,
                                                                              base::Shares::Place reader);
  void end_reader(pid_t pid);
  void reap();

  static constexpr std::size_t readers_at_most = 16;  // of ended runs, at the same time

  Needs needs_;
  base::Shares readers_{readers_at_most};
  std::vector<pid_t> ending_;  // killed, not yet reaped
};

}  // namespace agentrouter::worker
