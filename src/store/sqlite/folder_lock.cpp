#include "store/sqlite/folder_lock.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <mutex>
#include <set>

namespace agentrouter::store {
namespace {

// What this process holds. The kernel would grant it a lock of its own once more, and would drop the first one
// when any descriptor of the file is closed: a file that is in here is not opened again.
struct Held {
  std::mutex mutex;
  std::set<std::pair<dev_t, ino_t>> files;
};

Held& held() {
  static Held all;
  return all;
}

}  // namespace

base::Result<FolderLock> FolderLock::take(const std::filesystem::path& folder) {
  const auto path = folder / "store.lock";
  const auto in_use = [&] {
    return base::fail(base::Code::conflict,
                      "cannot open the store in " + folder.string() + ": another server uses it",
                      "data_in_use");
  };
  auto& all = held();
  const std::lock_guard guard(all.mutex);
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && all.files.contains({info.st_dev, info.st_ino})) return in_use();
  base::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd || ::fstat(fd.get(), &info) != 0)
    return base::fail_errno("cannot open " + path.string(), errno);
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd.get(), F_SETLK, &whole) != 0) {
    if (errno == EAGAIN || errno == EACCES) return in_use();
    return base::fail_errno("cannot lock " + path.string(), errno);
  }
  const File file{info.st_dev, info.st_ino};
  all.files.insert(file);
  return FolderLock(std::move(fd), file);
}

FolderLock::FolderLock(FolderLock&& other) noexcept : fd_(std::move(other.fd_)), file_(other.file_) {}

FolderLock::~FolderLock() {
  if (!fd_) return;
  auto& all = held();
  const std::lock_guard guard(all.mutex);
  fd_.reset();
  all.files.erase(file_);
}

}  // namespace agentrouter::store
