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

// The owner's byte is locked by its process, the other one by an open file, and only while the folder changes
// hands.
constexpr off_t owner_byte = 0;
constexpr off_t handover_byte = 1;

struct flock one_byte(off_t place, short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = place;
  lock.l_len = 1;
  return lock;
}

bool lock_owner_byte(int fd) {
  auto lock = one_byte(owner_byte, F_WRLCK);
  return ::fcntl(fd, F_SETLK, &lock) == 0;
}

bool lock_handover_byte(int fd, short type) {
  auto lock = one_byte(handover_byte, type);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

// By another open file.
bool changes_hands(int fd) {
  auto lock = one_byte(handover_byte, F_WRLCK);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

tl::unexpected<base::Error> folder_in_use(const std::filesystem::path& folder) {
  return base::fail(base::Code::conflict,
                    "cannot open the store in " + folder.string() + ": another server uses it", "data_in_use");
}

}  // namespace

base::Result<FolderLock> FolderLock::take(const std::filesystem::path& folder) {
  const auto path = folder / "store.lock";
  auto& all = held();
  const std::lock_guard guard(all.mutex);
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && all.files.contains({info.st_dev, info.st_ino})) return folder_in_use(folder);
  base::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd || ::fstat(fd.get(), &info) != 0)
    return base::fail_errno("cannot open " + path.string(), errno);
  if (!lock_owner_byte(fd.get())) {
    if (errno == EAGAIN || errno == EACCES) return folder_in_use(folder);
    return base::fail_errno("cannot lock " + path.string(), errno);
  }
  if (changes_hands(fd.get())) return folder_in_use(folder);
  const File file{info.st_dev, info.st_ino};
  all.files.insert(file);
  return FolderLock(std::move(fd), file);
}

base::Result<FolderLock> FolderLock::adopt(const std::filesystem::path& folder, base::Fd fd) {
  auto& all = held();
  const std::lock_guard guard(all.mutex);
  struct stat info{}, known{};
  if (::stat((folder / "store.lock").c_str(), &known) != 0 || ::fstat(fd.get(), &info) != 0 ||
      known.st_dev != info.st_dev || known.st_ino != info.st_ino) {
    return base::fail(base::Code::invalid, "cannot take over " + folder.string() + ": what was given is not its lock");
  }
  const File file{info.st_dev, info.st_ino};
  if (all.files.contains(file)) return folder_in_use(folder);
  // Granted at once to an open file that has it.
  if (!lock_handover_byte(fd.get(), F_WRLCK)) return folder_in_use(folder);
  all.files.insert(file);
  return FolderLock(std::move(fd), file);
}

base::Result<int> FolderLock::give() {
  if (!lock_handover_byte(fd_.get(), F_WRLCK)) return base::fail_errno("cannot give the folder's lock", errno);
  return fd_.get();
}

void FolderLock::take_back() {
  (void)lock_handover_byte(fd_.get(), F_UNLCK);
}

bool FolderLock::settle() {
  if (!lock_owner_byte(fd_.get())) return false;
  (void)lock_handover_byte(fd_.get(), F_UNLCK);
  return true;
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
