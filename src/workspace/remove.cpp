#include "workspace/remove.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "workspace/beneath.h"
#include "workspace/layer.h"

namespace agentrouter::workspace {

using base::fail_errno;

base::Result<void> remove(int folder, const std::string& name, unsigned depth) {
  struct stat info{};
  if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("cannot look at " + name, errno);
  }
  if (!S_ISDIR(info.st_mode)) {
    if (::unlinkat(folder, name.c_str(), 0) == 0) return {};
    return fail_errno("cannot remove " + name, errno);
  }
  if (depth == 0) return base::fail(base::Code::exhausted, "the folders are too deep");
  (void)::fchmodat(folder, name.c_str(), 0700, 0);
  const base::Fd inner = open_beneath(folder, name, O_RDONLY | O_DIRECTORY, Mounts::refuse);
  AGENTROUTER_TRY(const auto names, Folder::root(inner.get()).names(~0ull));
  for (const auto& each : names) {
    if (auto done = remove(inner.get(), each, depth - 1); !done) return done;
  }
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) == 0) return {};
  return fail_errno("cannot remove " + name, errno);
}

}  // namespace agentrouter::workspace
