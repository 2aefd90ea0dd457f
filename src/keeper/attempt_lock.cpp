#include "keeper/attempt_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::keeper {
namespace {

// Readable and writable for the keeper's own user; the folder around it is closed to everybody else.
constexpr mode_t lock_mode = 0666;

}  // namespace

base::Result<void> make_attempt_lock(int attempt_dir) {
  base::Fd fd(::openat(attempt_dir, attempt_lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, lock_mode));
  if (!fd) return base::fail_errno("cannot make attempt.lock", errno);
  if (::fchmod(fd.get(), lock_mode) != 0) return base::fail_errno("cannot open up attempt.lock", errno);
  return {};
}

base::Result<base::Fd> take_attempt_lock(int attempt_dir) {
  base::Fd fd(::openat(attempt_dir, attempt_lock_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return base::fail_errno("cannot open attempt.lock", errno);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES) {
      return base::fail(base::Code::conflict, "cannot lock attempt.lock: somebody holds it");
    }
    return base::fail_errno("cannot lock attempt.lock", errno);
  }
  // Given up between open and lock.
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0 || info.st_nlink == 0) {
    return base::fail(base::Code::not_found, "cannot lock attempt.lock: the attempt was given up");
  }
  return fd;
}

base::Result<KeeperLife> settle_keeper_life(int attempt_dir) {
  auto lock = take_attempt_lock(attempt_dir);
  if (!lock) {
    if (lock.error().code == base::Code::conflict) return KeeperLife::alive;
    if (lock.error().code == base::Code::not_found) return KeeperLife::dead;
    return tl::unexpected(std::move(lock).error());
  }
  if (::unlinkat(attempt_dir, attempt_lock_name, 0) != 0 && errno != ENOENT) {
    return base::fail_errno("cannot remove attempt.lock", errno);
  }
  return KeeperLife::dead;
}

}  // namespace agentrouter::keeper
