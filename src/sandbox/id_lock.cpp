#include "sandbox/id_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::sandbox {
namespace {

using base::Code;
using base::Fd;
using base::Result;

// The bytes of the ranges lie behind the number of the next one, which has a byte of its own.
constexpr off_t counter = 0;
constexpr off_t first_range = 4096;

bool lock_byte(int fd, off_t at, int command) {
  struct flock byte{};
  byte.l_type = F_WRLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = at;
  byte.l_len = 1;
  int rc = 0;
  while ((rc = ::fcntl(fd, command, &byte)) != 0 && errno == EINTR) {
  }
  return rc == 0;
}

bool unlock_byte(int fd, off_t at) {
  struct flock byte{};
  byte.l_type = F_UNLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = at;
  byte.l_len = 1;
  return ::fcntl(fd, F_OFD_SETLK, &byte) == 0;
}

bool is_own(int fd, mode_t kind) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && (info.st_mode & S_IFMT) == kind && info.st_uid == ::geteuid() &&
         (info.st_mode & 022) == 0;
}

Result<Fd> open_locks(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return base::fail_errno("cannot make " + folder, errno);
  const Fd parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!parent) return base::fail_errno("cannot open " + folder, errno);
  Fd fd(::openat(parent.get(), "locks", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return base::fail_errno("cannot open " + folder + "/locks", errno);
  if (!is_own(parent.get(), S_IFDIR) || !is_own(fd.get(), S_IFREG))
    return base::fail(Code::denied, "cannot use " + folder + ": others may write there");
  return fd;
}

// Where the search begins, and for the next one: behind it. Two that ask at the same time wait for each other.
Result<std::uint32_t> next_slot(int fd) {
  if (!lock_byte(fd, counter, F_OFD_SETLKW)) return base::fail_errno("cannot lock the ranges of ids", errno);
  std::uint32_t next = 0;
  if (::pread(fd, &next, sizeof next, 0) != sizeof next || next >= UidRange::slots) next = 0;
  const std::uint32_t after = (next + 1) % UidRange::slots;
  const bool written = ::pwrite(fd, &after, sizeof after, 0) == sizeof after;
  const int error = errno;
  (void)unlock_byte(fd, counter);
  if (!written) return base::fail_errno("cannot write the ranges of ids", error);
  return next;
}

}  // namespace

Result<IdLock> IdLock::take(std::uint32_t slot, Range range, const char* folder) {
  if (::geteuid() != 0) return IdLock({}, slot);
  AGENTROUTER_TRY(Fd fd, open_locks(folder));
  if (range == Range::next) {
    AGENTROUTER_TRY(slot, next_slot(fd.get()));
  }
  for (std::uint32_t i = 0; i < UidRange::slots; ++i) {
    const auto tried = (slot + i) % UidRange::slots;
    if (lock_byte(fd.get(), first_range + tried, F_OFD_SETLK)) return IdLock(std::move(fd), tried);
    if (errno != EAGAIN && errno != EACCES) return base::fail_errno("cannot lock a range of ids", errno);
  }
  return base::fail(Code::exhausted, "cannot find a free range of ids on this machine");
}

}  // namespace agentrouter::sandbox
