#pragma once
// What a run is to work on, from what was asked for: uploads are looked up, so that the run keeps their tree
// from the moment it exists, and so are the files of other runs.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

struct SettledWorkspace {
  model::Workspace workspace;
  // Of the run whose files it begins with: to be put as turn 0 of the new conversation. Its bytes are shared,
  // as with a fork.
  std::optional<store::Checkpoint> begins_with = {};
};

// Errors: not_found (upload_not_found: there is none, or its time is over; run_not_found); conflict
// (run_busy: that run has not ended; session_closed: its files were thrown away); unavailable
// (checkpoint_unavailable: they could not be kept).
[[nodiscard]] base::Result<SettledWorkspace> settle_workspace(store::Reader& reader,
                                                              const model::Workspace& asked, Context context);

}  // namespace agentrouter::runs
