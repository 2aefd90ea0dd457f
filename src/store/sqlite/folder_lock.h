#pragma once
// Who uses a data folder: one process, and in it one store. The lock is the process' own, not its open file's:
// a child that is cloned with a copy of every descriptor does not hold it, so a server that is killed leaves it
// free at once, whatever of its children still runs.

#include <sys/types.h>

#include <filesystem>
#include <utility>

#include "base/fd.h"

namespace agentrouter::store {

class FolderLock {
 public:
  // Locks `folder`/store.lock, which is made if need be.
  // Errors: conflict (data_in_use: of another process, or of this one), those of open(2) and fcntl(2).
  [[nodiscard]] static base::Result<FolderLock> take(const std::filesystem::path& folder);

  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  using File = std::pair<dev_t, ino_t>;
  FolderLock(base::Fd fd, File file) : fd_(std::move(fd)), file_(file) {}

  base::Fd fd_;
  File file_;
};

}  // namespace agentrouter::store
