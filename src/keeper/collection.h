#pragma once
// What is left when nothing runs inside any more: the file index and the patch, made by our collector inside
// the sandbox and written into the attempt's folder.

#include "keeper/notices.h"
#include "workspace/collector.h"

namespace agentrouter::keeper {

// Runs the collector and waits for it, at most `patience`; a collector that takes longer is killed. Writes
// index.json and changes.patch below `attempt_dir`.
//
// Errors: unavailable (it could not be started, or failed), timeout.
base::Task<base::Result<workspace::CollectReport>> collect_changes(
    Sandbox& sandbox, Notices& notices, int attempt_dir,
    std::chrono::milliseconds patience = std::chrono::seconds(90));

}  // namespace agentrouter::keeper
