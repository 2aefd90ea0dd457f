#pragma once
// Who uses a data folder: one process, and in it one store. The lock is the process' own, not its open file's:
// a child that is cloned with a copy of every descriptor does not hold it, so a server that is killed leaves it
// free at once, whatever of its children still runs.
//
// Only while one process hands the folder to another one is it held by an open file: the descriptor travels, and
// whoever has it holds the folder together with whoever gave it. So nobody else gets in between, and when either
// dies the other one still has it.

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

  // Holds what another process has given (give()): `fd` came from there.
  // Errors: invalid (it is not the lock of this folder), conflict (data_in_use).
  [[nodiscard]] static base::Result<FolderLock> adopt(const std::filesystem::path& folder, base::Fd fd);

  // From now on whoever has a copy of the returned descriptor (borrowed) holds the folder too.
  [[nodiscard]] base::Result<int> give();
  // Ends that. Only when whoever got a copy has ended.
  void take_back();
  // After adopt(), once the other process has let go: makes the lock this process' own. False while it has not.
  [[nodiscard]] bool settle();

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
