#pragma once
// What was written to a database file since its last sync that worked. After a sync that failed the kernel may
// have thrown away what it could not write and call it clean, so that a second sync proves nothing: everything of
// it is written once more before the next one. SQLite by itself does so only for pages of the checkpoint that
// failed: those of an earlier one that covered a part of the WAL are not synced when they count as moved.

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace agentrouter::store {

// Shared by all connections of this process to one file. Any thread.
class UnsyncedPages {
 public:
  // The bytes that are kept at most. When more was unsynced as a sync failed, no later one is said to have worked:
  // the file has to be closed by all, and what the WAL has is moved from its beginning when it is opened again.
  static constexpr std::size_t most_bytes = 64 << 20;

  // Of the file that a VFS knows by this key; made when nobody has it open.
  static std::shared_ptr<UnsyncedPages> of(const std::string& key);

  // These go to the file and return what it says.
  int write(sqlite3_file* file, std::string_view bytes, sqlite3_int64 at);
  int truncate(sqlite3_file* file, sqlite3_int64 size);
  int sync(sqlite3_file* file, int flags);

 private:
  void forget();

  std::mutex mutex_;
  std::map<sqlite3_int64, std::string> pages_;  // by offset
  std::size_t bytes_ = 0;
  bool complete_ = true;  // pages_ has all of it
  bool failed_ = false;   // the last sync
};

}  // namespace agentrouter::store
