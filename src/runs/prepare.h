#pragma once
// The workspace of a run is made ready before its sandbox is: what clients hear of it, and what the run keeps
// of it.

#include "runs/claim.h"

namespace agentrouter::runs {

// Appends workspace.preparing {kind, git}. Errors: those of check_fence; conflict (run_not_active).
[[nodiscard]] base::Result<void> workspace_preparing(store::Transaction& tx, const Fence& fence,
                                                     Context context);

struct PreparedTree {
  std::string tree;
  std::string commit;
  std::string branch;  // empty for none
  std::int64_t files = 0;
  std::int64_t bytes = 0;
  bool cached = false;  // it was there already
};

// The run, and with it every later turn, stands on this tree from now on. Appends workspace.prepared {tree,
// commit, branch?, files, bytes, cached}.
//
// Errors: as workspace_preparing().
[[nodiscard]] base::Result<model::Run> workspace_prepared(store::Transaction& tx, const Fence& fence,
                                                          const PreparedTree& prepared, Context context);

}  // namespace agentrouter::runs
