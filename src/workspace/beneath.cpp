#include "workspace/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::workspace {

base::Fd open_beneath(int folder, const std::string& path, int flags, Mounts mounts) {
  open_how how{};
  // openat2 takes no other flag beside O_PATH.
  const int safe = flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY;
  how.flags = static_cast<std::uint64_t>(flags | safe | O_CLOEXEC | O_NOFOLLOW);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (mounts == Mounts::refuse) how.resolve |= RESOLVE_NO_XDEV;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return base::Fd(static_cast<int>(fd));
  }
}

}  // namespace agentrouter::workspace
