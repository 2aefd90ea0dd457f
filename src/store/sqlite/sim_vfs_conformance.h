#pragma once
// For tests: SQLite on a simulated disk (testing/sim_disk.h), so that power is lost under it, syncs fail, and
// bits flip. Locks and shared memory are those of one process; when the last connection is gone, so are they,
// as after a crash.
//
//   testing::SimDisk disk(seed);
//   SimVfs vfs(disk);
//   open_sqlite_store(folder / "a.db", {.vfs = vfs.name()});  // only the lock is in the real folder

#include <sqlite3.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "testing/sim_disk.h"

namespace agentrouter::store {

// Outlives every connection that uses it.
class SimVfs {
 public:
  explicit SimVfs(testing::SimDisk& disk) : disk_(disk) {
    static std::atomic<int> made{0};
    name_ = "sim" + std::to_string(++made);
    vfs_ = *sqlite3_vfs_find(nullptr);
    vfs_.zName = name_.c_str();
    vfs_.pNext = nullptr;
    vfs_.pAppData = this;
    vfs_.szOsFile = sizeof(File);
    vfs_.mxPathname = 1024;
    vfs_.xOpen = &open;
    vfs_.xDelete = [](sqlite3_vfs* vfs, const char* path, int) {
      return of(vfs).disk_.remove(path) == Status::io ? SQLITE_IOERR_DELETE : SQLITE_OK;
    };
    vfs_.xAccess = [](sqlite3_vfs* vfs, const char* path, int, int* found) {
      *found = of(vfs).disk_.exists(path) ? 1 : 0;
      return SQLITE_OK;
    };
    vfs_.xFullPathname = [](sqlite3_vfs*, const char* path, int size, char* full) {
      sqlite3_snprintf(size, full, "%s", path);
      return SQLITE_OK;
    };
    sqlite3_vfs_register(&vfs_, 0);
  }
  ~SimVfs() { sqlite3_vfs_unregister(&vfs_); }
  SimVfs(const SimVfs&) = delete;
  SimVfs& operator=(const SimVfs&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  using Status = testing::SimDisk::Status;
  static constexpr int slots = SQLITE_SHM_NLOCK;

  // What the connections of one database share.
  struct Shared {
    int connections = 0;
    int readers = 0;
    const void* reserved = nullptr;
    const void* exclusive = nullptr;
    std::vector<std::unique_ptr<std::vector<char>>> regions;
    std::array<int, slots> shm_shared{};
    std::array<const void*, slots> shm_exclusive{};
  };
  struct File {
    sqlite3_file base;
    SimVfs* vfs;
    Shared* shared;  // of a database
    int level;
    std::array<bool, slots> holds;
    char path[1024];
  };

  static SimVfs& of(sqlite3_vfs* vfs) { return *static_cast<SimVfs*>(vfs->pAppData); }
  static File* file(sqlite3_file* any) { return reinterpret_cast<File*>(any); }
  static testing::SimDisk& disk(sqlite3_file* any) { return file(any)->vfs->disk_; }

  static int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* any, int flags, int* out_flags) {
    auto* made = std::construct_at(reinterpret_cast<File*>(any));
    auto& self = of(vfs);
    static std::atomic<int> unnamed{0};
    const std::string name = path != nullptr ? path : "temporary-" + std::to_string(++unnamed);
    if ((flags & SQLITE_OPEN_CREATE) == 0 && !self.disk_.exists(name) && (flags & SQLITE_OPEN_MAIN_DB) == 0)
      return SQLITE_CANTOPEN;
    if (!self.disk_.exists(name) && self.disk_.truncate(name, 0) != Status::ok) return SQLITE_CANTOPEN;
    made->vfs = &self;
    sqlite3_snprintf(sizeof made->path, made->path, "%s", name.c_str());
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
      const std::lock_guard lock(self.mutex_);
      made->shared = &self.shared_[name];
      ++made->shared->connections;
    }
    made->base.pMethods = &methods();
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }

  static int close(sqlite3_file* any) {
    auto* mine = file(any);
    if (mine->shared == nullptr) return SQLITE_OK;
    unlock(any, SQLITE_LOCK_NONE);
    const std::lock_guard lock(mine->vfs->mutex_);
    if (--mine->shared->connections == 0) mine->vfs->shared_.erase(mine->path);
    return SQLITE_OK;
  }
  static int read(sqlite3_file* any, void* to, int size, sqlite3_int64 at) {
    std::string bytes;
    const auto status =
        disk(any).read(file(any)->path, static_cast<std::uint64_t>(at), static_cast<std::size_t>(size), bytes);
    if (status == Status::io) return SQLITE_IOERR_READ;
    std::memcpy(to, bytes.data(), bytes.size());
    if (bytes.size() == static_cast<std::size_t>(size)) return SQLITE_OK;
    std::memset(static_cast<char*>(to) + bytes.size(), 0, static_cast<std::size_t>(size) - bytes.size());
    return SQLITE_IOERR_SHORT_READ;
  }
  // As unixWrite(): goes on after a short write.
  static int write(sqlite3_file* any, const void* from, int size, sqlite3_int64 at) {
    std::string_view rest(static_cast<const char*>(from), static_cast<std::size_t>(size));
    auto offset = static_cast<std::uint64_t>(at);
    while (!rest.empty()) {
      std::size_t written = 0;
      const auto status = disk(any).write(file(any)->path, offset, rest, written);
      if (status == Status::full) return SQLITE_FULL;
      if (status != Status::ok) return SQLITE_IOERR_WRITE;
      offset += written;
      rest.remove_prefix(written);
    }
    return SQLITE_OK;
  }
  static int lock(sqlite3_file* any, int level) {
    auto& mine = *file(any);
    const std::lock_guard guard(mine.vfs->mutex_);
    if (level <= mine.level) return SQLITE_OK;
    auto& all = *mine.shared;
    const auto others = [&](const void* holder) { return holder != nullptr && holder != any; };
    if (others(all.exclusive)) return SQLITE_BUSY;
    if (level >= SQLITE_LOCK_RESERVED && others(all.reserved)) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && all.readers > (mine.level >= SQLITE_LOCK_SHARED ? 1 : 0))
      return SQLITE_BUSY;
    if (mine.level < SQLITE_LOCK_SHARED) ++all.readers;
    if (level >= SQLITE_LOCK_RESERVED) all.reserved = any;
    if (level == SQLITE_LOCK_EXCLUSIVE) all.exclusive = any;
    mine.level = level;
    return SQLITE_OK;
  }
  static int unlock(sqlite3_file* any, int level) {
    auto& mine = *file(any);
    const std::lock_guard guard(mine.vfs->mutex_);
    if (level >= mine.level) return SQLITE_OK;
    auto& all = *mine.shared;
    if (all.exclusive == any) all.exclusive = nullptr;
    if (all.reserved == any) all.reserved = nullptr;
    if (level == SQLITE_LOCK_NONE) --all.readers;
    mine.level = level;
    return SQLITE_OK;
  }
  static int shm_map(sqlite3_file* any, int region, int size, int extend, void volatile** to) {
    auto& mine = *file(any);
    const std::lock_guard guard(mine.vfs->mutex_);
    auto& regions = mine.shared->regions;
    *to = nullptr;
    const auto wanted = static_cast<std::size_t>(region) + 1;
    if (regions.size() < wanted && extend == 0) return SQLITE_OK;
    while (regions.size() < wanted)
      regions.push_back(std::make_unique<std::vector<char>>(static_cast<std::size_t>(size)));
    *to = regions[static_cast<std::size_t>(region)]->data();
    return SQLITE_OK;
  }
  static int shm_lock(sqlite3_file* any, int at, int count, int flags) {
    auto& mine = *file(any);
    const std::lock_guard guard(mine.vfs->mutex_);
    auto& all = *mine.shared;
    const auto first = static_cast<std::size_t>(at);
    const auto last = first + static_cast<std::size_t>(count);
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      for (auto i = first; i < last; ++i) {
        if (all.shm_exclusive[i] == any) {
          all.shm_exclusive[i] = nullptr;
        } else if (mine.holds[i]) {
          --all.shm_shared[i];
        }
        mine.holds[i] = false;
      }
      return SQLITE_OK;
    }
    const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (auto i = first; i < last; ++i) {
      if (all.shm_exclusive[i] != nullptr && all.shm_exclusive[i] != any) return SQLITE_BUSY;
      if (exclusive && all.shm_shared[i] > (mine.holds[i] ? 1 : 0)) return SQLITE_BUSY;
    }
    for (auto i = first; i < last; ++i) {
      if (exclusive) {
        all.shm_exclusive[i] = any;
      } else if (!mine.holds[i]) {
        ++all.shm_shared[i];
      }
      mine.holds[i] = true;
    }
    return SQLITE_OK;
  }
  static const sqlite3_io_methods& methods() {
    static const sqlite3_io_methods made = [] {
      sqlite3_io_methods all{};
      all.iVersion = 2;
      all.xClose = &close;
      all.xRead = &read;
      all.xWrite = &write;
      all.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) {
        const auto status = disk(f).truncate(file(f)->path, static_cast<std::uint64_t>(size));
        return status == Status::ok ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
      };
      all.xSync = [](sqlite3_file* f, int) {
        return disk(f).sync(file(f)->path) == Status::ok ? SQLITE_OK : SQLITE_IOERR_FSYNC;
      };
      all.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) {
        *size = static_cast<sqlite3_int64>(disk(f).size(file(f)->path));
        return SQLITE_OK;
      };
      all.xLock = &lock;
      all.xUnlock = &unlock;
      all.xCheckReservedLock = [](sqlite3_file* f, int* held) {
        const std::lock_guard guard(file(f)->vfs->mutex_);
        *held = file(f)->shared->reserved != nullptr ? 1 : 0;
        return SQLITE_OK;
      };
      all.xFileControl = [](sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; };
      all.xSectorSize = [](sqlite3_file*) { return 4096; };
      all.xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; };
      all.xShmMap = &shm_map;
      all.xShmLock = &shm_lock;
      all.xShmBarrier = [](sqlite3_file* f) { const std::lock_guard guard(file(f)->vfs->mutex_); };
      all.xShmUnmap = [](sqlite3_file*, int) { return SQLITE_OK; };
      return all;
    }();
    return made;
  }

  testing::SimDisk& disk_;
  std::string name_;
  sqlite3_vfs vfs_{};
  std::mutex mutex_;
  std::map<std::string, Shared> shared_;
};

}  // namespace agentrouter::store
