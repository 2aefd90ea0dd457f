#include "workspace/disk_reserve.h"

#include <sys/statvfs.h>

#include <cerrno>

namespace agentrouter::workspace {

base::Result<void> DiskReserve::use(std::uint64_t bytes) {
  if (bytes_ == 0) return {};
  unseen_ += bytes;
  if (unseen_ < step) return {};
  unseen_ = 0;
  struct statvfs disk{};
  if (::fstatvfs(folder_, &disk) != 0)
    return base::fail_errno("cannot see how much of the disk is free", errno);
  if (static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize >= bytes_) return {};
  return base::fail(base::Code::exhausted,
                    "cannot unpack: less than " + std::to_string(bytes_) +
                        " bytes of the disk are free (machine.disk_reserve_bytes): make room, or lower it",
                    "disk_reserve");
}

}  // namespace agentrouter::workspace
