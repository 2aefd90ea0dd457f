#pragma once
// The simulated machine's disk as SQLite sees it: files in memory, with what has reached the platter and what is
// only in the cache. A power loss keeps the first and any part of the second, torn at sectors. One at a time.

#include <sqlite3.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "random.h"

namespace agentrouter::simulation {

class Disk {
 public:
  static constexpr const char* vfs_name = "simulated";

  explicit Disk(Random random);
  ~Disk();

  // All programs are dead: their handles reach nothing any more.
  void programs_died();
  // The same, and the cache is lost.
  void power_lost();
  // From the n-th next write or sync on, nothing reaches the disk, although it says so: the power goes in the
  // middle of something. True when that moment has come.
  void lose_power_after(int operations) { operations_left_ = operations; }
  [[nodiscard]] bool power_is_out() const { return out_; }

  // Writes are refused.
  void set_full(bool full) { full_ = full; }
  // The n-th next sync fails, and what it was about is only in the cache from then on. Every handle that the file
  // has then is told so by its next sync, as Linux does (errseq_t).
  void fail_sync_after(int syncs) { sync_failure_ = syncs; }
  // A disk that lies: it says that it has synced.
  void set_lying(bool lying) { lying_ = lying; }

  // Grows with each sync of a write-ahead log: something may have been committed.
  [[nodiscard]] std::uint64_t log_syncs() const { return log_syncs_; }

 private:
  struct Write {
    std::uint64_t offset = 0;
    std::string bytes;
    bool truncates = false;  // to `offset`
  };
  struct File {
    std::string cached;
    std::string durable;
    std::vector<Write> waiting;  // since the last sync
    unsigned failed_syncs = 0;
    // Locks of open handles.
    int shared = 0;
    void* reserved = nullptr;
    void* exclusive = nullptr;
    // The shared memory of its write-ahead log.
    std::vector<std::unique_ptr<char[]>> regions;
    int shm_shared[SQLITE_SHM_NLOCK] = {};
    void* shm_exclusive[SQLITE_SHM_NLOCK] = {};
  };
  struct Handle;
  struct Calls;

  void apply(std::string& bytes, const Write& write) const;
  [[nodiscard]] bool operation();

  Random random_;
  sqlite3_vfs vfs_{};
  std::map<std::string, std::shared_ptr<File>> files_;
  int operations_left_ = -1;
  bool out_ = false;
  bool full_ = false;
  bool lying_ = false;
  int sync_failure_ = -1;
  std::uint64_t log_syncs_ = 0;
};

}  // namespace agentrouter::simulation
