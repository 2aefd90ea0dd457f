#include "worker/attempt_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/file.h"

namespace agentrouter::worker {

base::Result<AttemptFolder> AttemptFolder::make(const std::filesystem::path& attempts,
                                                const model::AttemptId& id) {
  if (auto made = base::make_directories(attempts / id.str()); !made)
    return tl::unexpected(std::move(made).error());
  AGENTROUTER_TRY(AttemptFolder folder, open(attempts, id));
  if (auto made = keeper::make_attempt_lock(folder.fd()); !made)
    return tl::unexpected(std::move(made).error());
  return folder;
}

base::Result<AttemptFolder> AttemptFolder::open(const std::filesystem::path& attempts,
                                                const model::AttemptId& id) {
  AGENTROUTER_TRY(base::Fd fd, base::open_directory(attempts / id.str()));
  return AttemptFolder(std::move(fd));
}

base::Result<base::Fd> AttemptFolder::file(const char* name) const {
  base::Fd fd(::openat(fd_.get(), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return base::fail_errno(std::string("cannot open ") + name, errno);
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return base::fail(base::Code::corrupt, std::string("cannot read ") + name + ": not a file");
  }
  return fd;
}

std::uint64_t AttemptFolder::size_of(const char* name) const {
  struct stat info = {};
  if (::fstatat(fd_.get(), name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) return 0;
  return static_cast<std::uint64_t>(info.st_size);
}

}  // namespace agentrouter::worker
