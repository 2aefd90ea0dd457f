#pragma once
// Which range of host ids a sandbox has: one that no other sandbox of this machine has, whichever server made it. Each
// range is a byte of one file, locked by an open file that the keeper holds for life: what a crash leaves behind is
// free by its lock.

#include "base/fd.h"
#include "sandbox/launch.h"

namespace agentrouter::sandbox {

inline constexpr const char* id_locks = "/run/agentrouter-ids";  // a folder of root's, made if need be

class IdLock {
 public:
  // The first free range from `slot` on; with Range::next from behind the one that was given out last on this
  // machine. A plain user has no range: nothing is locked and `slot` is what was asked for.
  // Errors: those of open(2) and fcntl(2), denied (others may write there), exhausted (all are taken).
  [[nodiscard]] static base::Result<IdLock> take(std::uint32_t slot, Range range, const char* folder = id_locks);

  [[nodiscard]] std::uint32_t slot() const { return slot_; }
  // -1: nothing is locked. The lock lasts as long as a copy of it is open.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  IdLock(base::Fd fd, std::uint32_t slot) : fd_(std::move(fd)), slot_(slot) {}

  base::Fd fd_;
  std::uint32_t slot_;
};

}  // namespace agentrouter::sandbox
