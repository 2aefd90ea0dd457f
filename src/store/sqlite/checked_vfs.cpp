#include "store/sqlite/checked_vfs.h"

#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "store/sqlite/page_checksum.h"
#include "store/sqlite/unsynced_pages.h"
#include "store/sqlite/vfs_shim.h"

namespace agentrouter::store {
namespace {

constexpr int largest_page = 65536;

struct CheckedFile {
  sqlite3_file base;
  bool database;
  int page_size;  // 0: unknown, or pages have no checksums
  std::shared_ptr<UnsyncedPages> unsynced;  // of a database; lives while the file is open
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

CheckedFile* checked(sqlite3_file* any) {
  return reinterpret_cast<CheckedFile*>(any);
}

// What the first bytes of a database say about its pages.
void learn(CheckedFile& file, const void* start, int size) {
  const auto format = page_format({static_cast<const char*>(start), static_cast<std::size_t>(size)});
  if (format) file.page_size = format->has_checksums ? static_cast<int>(format->size) : 0;
}

bool is_page(const CheckedFile& file, int size, sqlite3_int64 at) {
  return file.database && file.page_size != 0 && size == file.page_size && at % size == 0;
}

int read(sqlite3_file* any, void* to, int size, sqlite3_int64 at) {
  auto& file = *checked(any);
  const int status = file.real()->pMethods->xRead(file.real(), to, size, at);
  if (status != SQLITE_OK || !file.database) return status;
  if (at == 0) learn(file, to, size);
  if (is_page(file, size, at) && !is_whole_page({static_cast<const char*>(to), static_cast<std::size_t>(size)})) {
    sqlite3_log(SQLITE_IOERR_DATA, "page %lld does not match its checksum", at / size + 1);
    return SQLITE_IOERR_DATA;
  }
  return status;
}

int write(sqlite3_file* any, const void* bytes, int size, sqlite3_int64 at) {
  auto& file = *checked(any);
  if (!file.database) return file.real()->pMethods->xWrite(file.real(), bytes, size, at);
  const std::string_view whole(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
  if (at == 0) learn(file, bytes, size);
  if (!is_page(file, size, at)) return file.unsynced->write(file.real(), whole, at);
  thread_local std::array<char, largest_page> page;
  std::memcpy(page.data(), bytes, whole.size());
  put_page_checksum({page.data(), whole.size()});
  return file.unsynced->write(file.real(), {page.data(), whole.size()}, at);
}

int truncate(sqlite3_file* any, sqlite3_int64 size) {
  auto& file = *checked(any);
  if (!file.database) return file.real()->pMethods->xTruncate(file.real(), size);
  return file.unsynced->truncate(file.real(), size);
}

int sync(sqlite3_file* any, int flags) {
  auto& file = *checked(any);
  if (!file.database) return file.real()->pMethods->xSync(file.real(), flags);
  return file.unsynced->sync(file.real(), flags);
}

int close(sqlite3_file* any) {
  auto& file = *checked(any);
  const int status = file.real()->pMethods->xClose(file.real());
  std::destroy_at(&file.unsynced);
  return status;
}

const sqlite3_io_methods& methods() {
  static const sqlite3_io_methods made = [] {
    auto all = pass_on<CheckedFile>();
    all.xRead = &read;
    all.xWrite = &write;
    all.xTruncate = &truncate;
    all.xSync = &sync;
    all.xClose = &close;
    return all;
  }();
  return made;
}

sqlite3_vfs* under_of(sqlite3_vfs* vfs) {
  return static_cast<sqlite3_vfs*>(vfs->pAppData);
}

int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* made, int flags, int* out_flags) {
  auto* under = under_of(vfs);
  auto& file = *checked(made);
  file.base.pMethods = nullptr;
  file.database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
  file.page_size = 0;
  std::memset(file.real(), 0, static_cast<std::size_t>(under->szOsFile));
  const int status = under->xOpen(under, path, file.real(), flags, out_flags);
  if (file.real()->pMethods == nullptr) return status;
  std::construct_at(&file.unsynced);
  if (file.database)
    file.unsynced = UnsyncedPages::of(std::string(vfs->zName) + ":" + (path != nullptr ? path : ""));
  file.base.pMethods = &methods();
  return status;
}

struct Registered {
  std::string name;
  sqlite3_vfs vfs{};
};

int fixed(sqlite3* db, int value) {
  sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &value);
  return value;
}

}  // namespace

std::string checked_vfs(const std::string& base) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<Registered>> all;
  const std::lock_guard lock(mutex);
  auto* under = sqlite3_vfs_find(base.empty() ? nullptr : base.c_str());
  if (under == nullptr)
    base::throw_failure(base::Code::internal, "there is no SQLite file system \"" + base + "\"");
  auto& made = all[base];
  // One of the same name may have been taken away and made anew, as tests do.
  if (made && made->vfs.pAppData == under) return made->name;
  if (!made) made = std::make_unique<Registered>();
  else sqlite3_vfs_unregister(&made->vfs);
  made->name = "checked" + (base.empty() ? "" : "-" + base);
  made->vfs = *under;
  made->vfs.zName = made->name.c_str();
  made->vfs.pNext = nullptr;
  made->vfs.pAppData = under;
  made->vfs.szOsFile = static_cast<int>(sizeof(CheckedFile)) + under->szOsFile;
  made->vfs.xOpen = &open;
  made->vfs.xDelete = [](sqlite3_vfs* v, const char* path, int sync) {
    return under_of(v)->xDelete(under_of(v), path, sync);
  };
  made->vfs.xAccess = [](sqlite3_vfs* v, const char* path, int flags, int* found) {
    return under_of(v)->xAccess(under_of(v), path, flags, found);
  };
  made->vfs.xFullPathname = [](sqlite3_vfs* v, const char* path, int size, char* full) {
    return under_of(v)->xFullPathname(under_of(v), path, size, full);
  };
  sqlite3_vfs_register(&made->vfs, 0);
  return made->name;
}

void reserve_checksums(Connection& connection) {
  (void)fixed(connection.handle(), static_cast<int>(page_checksum_bytes));
}

bool has_checksums(Connection& connection) {
  return fixed(connection.handle(), -1) == static_cast<int>(page_checksum_bytes);
}

}  // namespace agentrouter::store
