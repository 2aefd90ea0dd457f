#include "store/sqlite/unsynced_pages.h"

namespace agentrouter::store {

std::shared_ptr<UnsyncedPages> UnsyncedPages::of(const std::string& key) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<UnsyncedPages>> all;
  const std::lock_guard lock(mutex);
  std::erase_if(all, [](const auto& entry) { return entry.second.expired(); });
  auto& known = all[key];
  auto pages = known.lock();
  if (!pages) known = pages = std::make_shared<UnsyncedPages>();
  return pages;
}

int UnsyncedPages::write(sqlite3_file* file, std::string_view bytes, sqlite3_int64 at) {
  const std::lock_guard lock(mutex_);
  const int status = file->pMethods->xWrite(file, bytes.data(), static_cast<int>(bytes.size()), at);
  if (status != SQLITE_OK || !complete_) return status;
  auto& kept = pages_[at];
  bytes_ = bytes_ - kept.size() + bytes.size();
  kept = bytes;
  if (bytes_ > most_bytes) {
    forget();
    complete_ = false;
  }
  return status;
}

int UnsyncedPages::truncate(sqlite3_file* file, sqlite3_int64 size) {
  const std::lock_guard lock(mutex_);
  const int status = file->pMethods->xTruncate(file, size);
  if (status != SQLITE_OK) return status;
  for (auto page = pages_.lower_bound(size); page != pages_.end(); page = pages_.erase(page))
    bytes_ -= page->second.size();
  return status;
}

int UnsyncedPages::sync(sqlite3_file* file, int flags) {
  const std::lock_guard lock(mutex_);
  if (failed_ && !complete_) return SQLITE_IOERR_FSYNC;
  if (failed_) {
    for (const auto& [at, bytes] : pages_) {
      const int status = file->pMethods->xWrite(file, bytes.data(), static_cast<int>(bytes.size()), at);
      if (status != SQLITE_OK) return status;
    }
  }
  const int status = file->pMethods->xSync(file, flags);
  failed_ = status != SQLITE_OK;
  if (failed_) return status;
  forget();
  complete_ = true;
  return status;
}

void UnsyncedPages::forget() {
  pages_.clear();
  bytes_ = 0;
}

}  // namespace agentrouter::store
