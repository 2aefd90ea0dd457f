#include "disk.h"

#include <algorithm>
#include <cstring>

namespace agentrouter::simulation {

namespace {
Disk* the_disk = nullptr;
constexpr std::size_t sector = 512;

// Each start of the server has a folder of its own, because the lock of the folder is its process'; its database is
// the same.
std::string name_of(const char* path) {
  const std::string_view whole(path);
  return std::string(whole.substr(whole.rfind('/') + 1));
}
}  // namespace

struct Disk::Handle {
  sqlite3_file base;
  std::shared_ptr<File>* file;
  int lock;
  bool wal;
  unsigned failures_told;
  std::uint16_t shm_shared;
  std::uint16_t shm_exclusive;
};

struct Disk::Calls {
  static Handle* handle(sqlite3_file* any) { return reinterpret_cast<Handle*>(any); }
  static File& file(sqlite3_file* any) { return **handle(any)->file; }

  static int open(sqlite3_vfs*, const char* path, sqlite3_file* made, int flags, int* out_flags);
  static int close(sqlite3_file* any);
  static int read(sqlite3_file* any, void* to, int size, sqlite3_int64 at);
  static int write(sqlite3_file* any, const void* bytes, int size, sqlite3_int64 at);
  static int truncate(sqlite3_file* any, sqlite3_int64 size);
  static int sync(sqlite3_file* any, int flags);
  static int lock(sqlite3_file* any, int level);
  static int unlock(sqlite3_file* any, int level);
  static int shm_map(sqlite3_file* any, int region, int size, int extend, void volatile** to);
  static int shm_lock(sqlite3_file* any, int first, int count, int flags);
  static int shm_unmap(sqlite3_file* any, int remove);
  static sqlite3_io_methods methods();
};

Disk::Disk(Random random) : random_(random) {
  the_disk = this;
  const sqlite3_vfs* real = sqlite3_vfs_find(nullptr);
  vfs_ = *real;
  vfs_.zName = vfs_name;
  vfs_.pNext = nullptr;
  vfs_.szOsFile = sizeof(Handle);
  vfs_.xOpen = &Calls::open;
  vfs_.xDelete = [](sqlite3_vfs*, const char* path, int) {
    return the_disk->files_.erase(name_of(path)) != 0 ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
  };
  vfs_.xAccess = [](sqlite3_vfs*, const char* path, int, int* there) {
    const auto found = the_disk->files_.find(name_of(path));
    *there = found != the_disk->files_.end() && !found->second->cached.empty() ? 1 : 0;
    return SQLITE_OK;
  };
  vfs_.xFullPathname = [](sqlite3_vfs*, const char* path, int size, char* to) {
    sqlite3_snprintf(size, to, "%s", path);
    return SQLITE_OK;
  };
  vfs_.xRandomness = [](sqlite3_vfs*, int size, char* to) {
    for (int i = 0; i < size; ++i) to[i] = static_cast<char>(the_disk->random_.next());
    return size;
  };
  vfs_.xSleep = [](sqlite3_vfs*, int micros) { return micros; };
  vfs_.xCurrentTime = [](sqlite3_vfs*, double* now) {
    *now = 2460000.5;
    return SQLITE_OK;
  };
  vfs_.xCurrentTimeInt64 = [](sqlite3_vfs*, sqlite3_int64* now) {
    *now = 212544043200000;
    return SQLITE_OK;
  };
  sqlite3_vfs_register(&vfs_, 0);
}

Disk::~Disk() {
  sqlite3_vfs_unregister(&vfs_);
  the_disk = nullptr;
}

void Disk::apply(std::string& bytes, const Write& write) const {
  if (write.truncates) {
    bytes.resize(write.offset);
    return;
  }
  if (bytes.size() < write.offset + write.bytes.size()) bytes.resize(write.offset + write.bytes.size());
  std::memcpy(bytes.data() + write.offset, write.bytes.data(), write.bytes.size());
}

// False: the power is out, and nothing reaches the disk.
bool Disk::operation() {
  if (operations_left_ > 0 && --operations_left_ == 0) out_ = true;
  return !out_;
}

void Disk::programs_died() {
  for (auto& [path, file] : files_) {
    auto fresh = std::make_shared<File>();
    fresh->cached = file->cached;
    fresh->durable = file->durable;
    fresh->waiting = file->waiting;
    file = std::move(fresh);
  }
}

void Disk::power_lost() {
  for (auto& [path, file] : files_) {
    auto fresh = std::make_shared<File>();
    fresh->durable = file->durable;
    // A disk writes its cache in any order; the last write may be torn.
    for (auto& write : file->waiting) {
      if (random_.once_in(2)) continue;
      if (!write.truncates && random_.once_in(4)) write.bytes.resize(random_.below(write.bytes.size() / sector + 1) * sector);
      apply(fresh->durable, write);
    }
    fresh->cached = fresh->durable;
    file = std::move(fresh);
  }
  operations_left_ = -1;
  out_ = false;
}

int Disk::Calls::open(sqlite3_vfs*, const char* path, sqlite3_file* made, int flags, int* out_flags) {
  static const sqlite3_io_methods all = methods();
  auto* const opened = handle(made);
  *opened = {};
  auto& files = the_disk->files_;
  std::shared_ptr<File> found = std::make_shared<File>();
  if (path != nullptr) {
    const auto known = files.find(name_of(path));
    if (known != files.end()) {
      found = known->second;
    } else {
      files.emplace(name_of(path), found);
    }
  }
  opened->failures_told = found->failed_syncs;
  opened->file = new std::shared_ptr<File>(std::move(found));
  opened->wal = (flags & SQLITE_OPEN_WAL) != 0;
  opened->base.pMethods = &all;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int Disk::Calls::close(sqlite3_file* any) {
  unlock(any, SQLITE_LOCK_NONE);
  shm_unmap(any, 0);
  delete handle(any)->file;
  return SQLITE_OK;
}

int Disk::Calls::read(sqlite3_file* any, void* to, int size, sqlite3_int64 at) {
  const auto& bytes = file(any).cached;
  const auto offset = static_cast<std::size_t>(at);
  const auto wanted = static_cast<std::size_t>(size);
  const auto there = offset < bytes.size() ? std::min(wanted, bytes.size() - offset) : 0;
  if (there > 0) std::memcpy(to, bytes.data() + offset, there);
  if (there == wanted) return SQLITE_OK;
  std::memset(static_cast<char*>(to) + there, 0, wanted - there);
  return SQLITE_IOERR_SHORT_READ;
}

int Disk::Calls::write(sqlite3_file* any, const void* bytes, int size, sqlite3_int64 at) {
  if (the_disk->full_) return SQLITE_FULL;
  Write write{static_cast<std::uint64_t>(at), std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size)), false};
  the_disk->apply(file(any).cached, write);
  if (the_disk->operation()) file(any).waiting.push_back(std::move(write));
  return SQLITE_OK;
}

int Disk::Calls::truncate(sqlite3_file* any, sqlite3_int64 size) {
  const Write write{static_cast<std::uint64_t>(size), {}, true};
  the_disk->apply(file(any).cached, write);
  if (the_disk->operation()) file(any).waiting.push_back(write);
  return SQLITE_OK;
}

int Disk::Calls::sync(sqlite3_file* any, int) {
  if (the_disk->sync_failure_ > 0 && --the_disk->sync_failure_ == 0) {
    the_disk->sync_failure_ = -1;
    // The kernel throws away what it could not write and calls it clean.
    file(any).waiting.clear();
    ++file(any).failed_syncs;
  }
  if (!the_disk->operation()) return SQLITE_OK;
  if (handle(any)->wal) ++the_disk->log_syncs_;
  if (the_disk->lying_) return SQLITE_OK;
  for (const auto& write : file(any).waiting) the_disk->apply(file(any).durable, write);
  file(any).waiting.clear();
  if (handle(any)->failures_told == file(any).failed_syncs) return SQLITE_OK;
  handle(any)->failures_told = file(any).failed_syncs;
  return SQLITE_IOERR_FSYNC;
}

int Disk::Calls::lock(sqlite3_file* any, int level) {
  auto& of = file(any);
  auto* const mine = handle(any);
  if (mine->lock >= level) return SQLITE_OK;
  const bool others = (of.exclusive != nullptr && of.exclusive != mine);
  if (others) return SQLITE_BUSY;
  if (level >= SQLITE_LOCK_RESERVED) {
    if (of.reserved != nullptr && of.reserved != mine) return SQLITE_BUSY;
    of.reserved = mine;
  }
  if (mine->lock == SQLITE_LOCK_NONE) ++of.shared;
  if (level == SQLITE_LOCK_EXCLUSIVE) {
    if (of.shared > 1) return SQLITE_BUSY;
    of.exclusive = mine;
  }
  mine->lock = level;
  return SQLITE_OK;
}

int Disk::Calls::unlock(sqlite3_file* any, int level) {
  auto& of = file(any);
  auto* const mine = handle(any);
  if (mine->lock <= level) return SQLITE_OK;
  if (of.exclusive == mine) of.exclusive = nullptr;
  if (of.reserved == mine) of.reserved = nullptr;
  if (level == SQLITE_LOCK_NONE) --of.shared;
  mine->lock = level;
  return SQLITE_OK;
}

int Disk::Calls::shm_map(sqlite3_file* any, int region, int size, int extend, void volatile** to) {
  auto& regions = file(any).regions;
  const auto index = static_cast<std::size_t>(region);
  if (index >= regions.size() && extend == 0) {
    *to = nullptr;
    return SQLITE_OK;
  }
  while (index >= regions.size()) {
    regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(size)));
  }
  *to = regions[index].get();
  return SQLITE_OK;
}

int Disk::Calls::shm_lock(sqlite3_file* any, int first, int count, int flags) {
  auto& of = file(any);
  auto* const mine = handle(any);
  for (int i = first; i < first + count; ++i) {
    const auto bit = static_cast<std::uint16_t>(1u << i);
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      if ((flags & SQLITE_SHM_SHARED) != 0 && (mine->shm_shared & bit) != 0) --of.shm_shared[i];
      if ((flags & SQLITE_SHM_SHARED) != 0) mine->shm_shared &= static_cast<std::uint16_t>(~bit);
      if ((flags & SQLITE_SHM_EXCLUSIVE) != 0 && of.shm_exclusive[i] == mine) of.shm_exclusive[i] = nullptr;
      continue;
    }
    const bool taken = of.shm_exclusive[i] != nullptr && of.shm_exclusive[i] != mine;
    const int own = (mine->shm_shared & bit) != 0 ? 1 : 0;
    if (taken || ((flags & SQLITE_SHM_EXCLUSIVE) != 0 && of.shm_shared[i] > own)) return SQLITE_BUSY;
  }
  if ((flags & SQLITE_SHM_UNLOCK) != 0) return SQLITE_OK;
  for (int i = first; i < first + count; ++i) {
    const auto bit = static_cast<std::uint16_t>(1u << i);
    if ((flags & SQLITE_SHM_EXCLUSIVE) != 0) of.shm_exclusive[i] = mine;
    if ((flags & SQLITE_SHM_SHARED) != 0 && (mine->shm_shared & bit) == 0) {
      ++of.shm_shared[i];
      mine->shm_shared |= bit;
    }
  }
  return SQLITE_OK;
}

int Disk::Calls::shm_unmap(sqlite3_file* any, int remove) {
  auto& of = file(any);
  auto* const mine = handle(any);
  for (int i = 0; i < SQLITE_SHM_NLOCK; ++i) {
    if ((mine->shm_shared & (1u << i)) != 0) --of.shm_shared[i];
    if (of.shm_exclusive[i] == mine) of.shm_exclusive[i] = nullptr;
  }
  mine->shm_shared = 0;
  if (remove != 0) of.regions.clear();
  return SQLITE_OK;
}

sqlite3_io_methods Disk::Calls::methods() {
  sqlite3_io_methods all{};
  all.iVersion = 2;
  all.xClose = &close;
  all.xRead = &read;
  all.xWrite = &write;
  all.xTruncate = &truncate;
  all.xSync = &sync;
  all.xFileSize = [](sqlite3_file* any, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(file(any).cached.size());
    return SQLITE_OK;
  };
  all.xLock = &lock;
  all.xUnlock = &unlock;
  all.xCheckReservedLock = [](sqlite3_file* any, int* held) {
    *held = file(any).reserved != nullptr ? 1 : 0;
    return SQLITE_OK;
  };
  all.xFileControl = [](sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; };
  all.xSectorSize = [](sqlite3_file*) { return static_cast<int>(sector); };
  // As SQLite takes every file system of Linux to be, and as sectors are here. Without it a commit is padded to its
  // sector, and the end of the padding is written behind the sync: a sync that fails later on loses it, and with it
  // all commits that follow it in the log, although their own syncs work.
  all.xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; };
  all.xShmMap = &shm_map;
  all.xShmLock = &shm_lock;
  all.xShmBarrier = [](sqlite3_file*) {};
  all.xShmUnmap = &shm_unmap;
  return all;
}

}  // namespace agentrouter::simulation
