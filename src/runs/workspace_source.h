#pragma once
// What a run is to work on, from what was asked for: uploads are looked up, so that the run keeps their tree
// from the moment it exists.

#include "runs/context.h"
#include "store/store.h"

namespace agentrouter::runs {

// Errors: not_found (upload_not_found: there is none, or its time is over).
[[nodiscard]] base::Result<model::Workspace> settle_workspace(store::Reader& reader,
                                                              const model::Workspace& asked, Context context);

}  // namespace agentrouter::runs
