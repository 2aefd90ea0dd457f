#pragma once
// For tests: a SQLite file system that refuses writes or syncs of the WAL when told to, and knows whether
// everything written to it was synced.

#include <sqlite3.h>

#include <atomic>
#include <cstring>

#include "store/sqlite/vfs_shim.h"

namespace agentrouter::store {

// One per test process, registered under its name for good.
class FaultVfs {
 public:
  static constexpr const char* name = "fault";

  static FaultVfs& instance() {
    static FaultVfs vfs;
    return vfs;
  }

  // From the `after`-th next write or sync of a WAL on, each one is answered with `status`.
  void fail_writes(int status, int after = 1) { arm(write_, status, after); }
  void fail_syncs(int status, int after = 1) { arm(sync_, status, after); }
  void heal() {
    write_.status = SQLITE_OK;
    sync_.status = SQLITE_OK;
  }
  [[nodiscard]] int syncs() const { return syncs_; }
  [[nodiscard]] bool all_synced() const { return !dirty_; }

 private:
  struct Fault {
    std::atomic<int> status{SQLITE_OK};
    std::atomic<int> left{0};
    [[nodiscard]] int next() { return status != SQLITE_OK && --left <= 0 ? status.load() : SQLITE_OK; }
  };
  struct File {
    sqlite3_file base;
    bool wal;
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };

  FaultVfs() {
    real_ = sqlite3_vfs_find(nullptr);
    vfs_ = *real_;
    vfs_.zName = name;
    vfs_.pNext = nullptr;
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.xOpen = &open;
    sqlite3_vfs_register(&vfs_, 0);
  }

  static void arm(Fault& fault, int status, int after) {
    fault.left = after;
    fault.status = status;
  }
  static File* file(sqlite3_file* any) { return reinterpret_cast<File*>(any); }
  static sqlite3_file* real(sqlite3_file* any) { return file(any)->real(); }

  static int open(sqlite3_vfs*, const char* path, sqlite3_file* made, int flags, int* out_flags) {
    static const sqlite3_io_methods methods = make_methods();
    auto* mine = file(made);
    mine->base.pMethods = nullptr;
    mine->wal = (flags & SQLITE_OPEN_WAL) != 0;
    std::memset(mine->real(), 0, static_cast<std::size_t>(instance().real_->szOsFile));
    const int status = instance().real_->xOpen(instance().real_, path, mine->real(), flags, out_flags);
    if (mine->real()->pMethods != nullptr) mine->base.pMethods = &methods;
    return status;
  }
  static int write(sqlite3_file* any, const void* bytes, int size, sqlite3_int64 at) {
    if (file(any)->wal) {
      if (const int status = instance().write_.next(); status != SQLITE_OK) return status;
      instance().dirty_ = true;
    }
    return real(any)->pMethods->xWrite(real(any), bytes, size, at);
  }
  static int sync(sqlite3_file* any, int flags) {
    if (!file(any)->wal) return real(any)->pMethods->xSync(real(any), flags);
    if (const int status = instance().sync_.next(); status != SQLITE_OK) return status;
    const int status = real(any)->pMethods->xSync(real(any), flags);
    ++instance().syncs_;
    instance().dirty_ = false;
    return status;
  }
  static sqlite3_io_methods make_methods() {
    auto made = pass_on<File>();
    made.xWrite = &write;
    made.xSync = &sync;
    return made;
  }

  sqlite3_vfs* real_ = nullptr;
  sqlite3_vfs vfs_{};
  Fault write_;
  Fault sync_;
  std::atomic<int> syncs_{0};
  std::atomic<bool> dirty_{false};
};

}  // namespace agentrouter::store
