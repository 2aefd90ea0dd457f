#pragma once
// Folders of attempts here that no run needs any more: of attempts that another worker has settled, or that the
// store does not know (it was restored from a backup).

#include "worker/run_driver.h"

namespace agentrouter::worker {

// The attempts that have a folder. Blocks.
[[nodiscard]] std::vector<model::AttemptId> attempts_with_folders(const std::filesystem::path& attempts);

// Removes the sandbox of a dead keeper and takes the attempt's folder out of sight; its files go later.
// Blocks. May be repeated. Errors: those of Launcher::release().
[[nodiscard]] base::Result<void> put_attempt_away(DriverContext& context, const model::AttemptId& attempt);

// Ends the keeper that may live, and puts its attempt away. May be repeated.
// Errors: conflict (its keeper lives and cannot be ended), those of release().
base::Task<base::Result<void>> remove_leftover(DriverContext& context, const model::AttemptId& attempt);

}  // namespace agentrouter::worker
