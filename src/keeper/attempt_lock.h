#pragma once
// The proof of a keeper's life: an OFD write lock on `attempt.lock` in the attempt's folder, held until the
// keeper's process ends. The worker makes the file before the launch; whoever finds it unlocked takes the
// lock and unlinks the file, so that a keeper that is late can never start on an attempt that was given up.

#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::keeper {

inline constexpr const char* attempt_lock_name = "attempt.lock";

// Makes the file below `attempt_dir` if it is not there.
[[nodiscard]] base::Result<void> make_attempt_lock(int attempt_dir);

// The lock, held as long as the descriptor is open.
// Errors: conflict (somebody holds it), not_found (the attempt was given up), open(2).
[[nodiscard]] base::Result<base::Fd> take_attempt_lock(int attempt_dir);

enum class KeeperLife { alive, dead };
// dead is final: the lock was free and is now gone for ever. Errors: open(2), fcntl(2).
[[nodiscard]] base::Result<KeeperLife> settle_keeper_life(int attempt_dir);

}  // namespace agentrouter::keeper
