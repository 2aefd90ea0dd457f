#pragma once
// What every SQLite file system of ours that stands on another one passes on as it is.

#include <sqlite3.h>

namespace agentrouter::store {

template <class File>
sqlite3_file* real_of(sqlite3_file* any) {
  return reinterpret_cast<File*>(any)->real();
}

// `File` begins with `sqlite3_file base` and has `sqlite3_file* real()`. xFetch is left out: what is mapped
// into memory would pass the shim by.
template <class File>
sqlite3_io_methods pass_on() {
  sqlite3_io_methods made{};
  made.iVersion = 2;
  made.xClose = [](sqlite3_file* f) { return real_of<File>(f)->pMethods->xClose(real_of<File>(f)); };
  made.xRead = [](sqlite3_file* f, void* to, int size, sqlite3_int64 at) {
    return real_of<File>(f)->pMethods->xRead(real_of<File>(f), to, size, at);
  };
  made.xWrite = [](sqlite3_file* f, const void* bytes, int size, sqlite3_int64 at) {
    return real_of<File>(f)->pMethods->xWrite(real_of<File>(f), bytes, size, at);
  };
  made.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) {
    return real_of<File>(f)->pMethods->xTruncate(real_of<File>(f), size);
  };
  made.xSync = [](sqlite3_file* f, int flags) { return real_of<File>(f)->pMethods->xSync(real_of<File>(f), flags); };
  made.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) {
    return real_of<File>(f)->pMethods->xFileSize(real_of<File>(f), size);
  };
  made.xLock = [](sqlite3_file* f, int level) { return real_of<File>(f)->pMethods->xLock(real_of<File>(f), level); };
  made.xUnlock = [](sqlite3_file* f, int level) { return real_of<File>(f)->pMethods->xUnlock(real_of<File>(f), level); };
  made.xCheckReservedLock = [](sqlite3_file* f, int* held) {
    return real_of<File>(f)->pMethods->xCheckReservedLock(real_of<File>(f), held);
  };
  made.xFileControl = [](sqlite3_file* f, int op, void* arg) {
    return real_of<File>(f)->pMethods->xFileControl(real_of<File>(f), op, arg);
  };
  made.xSectorSize = [](sqlite3_file* f) { return real_of<File>(f)->pMethods->xSectorSize(real_of<File>(f)); };
  made.xDeviceCharacteristics = [](sqlite3_file* f) {
    return real_of<File>(f)->pMethods->xDeviceCharacteristics(real_of<File>(f));
  };
  made.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** to) {
    return real_of<File>(f)->pMethods->xShmMap(real_of<File>(f), page, size, extend, to);
  };
  made.xShmLock = [](sqlite3_file* f, int at, int count, int flags) {
    return real_of<File>(f)->pMethods->xShmLock(real_of<File>(f), at, count, flags);
  };
  made.xShmBarrier = [](sqlite3_file* f) { real_of<File>(f)->pMethods->xShmBarrier(real_of<File>(f)); };
  made.xShmUnmap = [](sqlite3_file* f, int remove) { return real_of<File>(f)->pMethods->xShmUnmap(real_of<File>(f), remove); };
  return made;
}

}  // namespace agentrouter::store
