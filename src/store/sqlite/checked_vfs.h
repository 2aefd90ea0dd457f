#pragma once
// A file system under SQLite that keeps a checksum in the last eight bytes of each page of a database, which
// SQLite leaves free, and looks at it whenever a page is read: a page that is not what was written is reported
// as damaged (SQLITE_IOERR_DATA, store_corrupt) and never answered from. Pages in the WAL have checksums of
// SQLite's own, which it looks at when it recovers.
//
// A database that was made without room for checksums is read and written as before. One that has them must be
// written through here only: another program would leave checksums behind that do not fit.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "store/sqlite/statement.h"

namespace agentrouter::store {

// The name of such a file system on top of `base` (empty: the default); made on first use and there for good.
[[nodiscard]] std::string checked_vfs(const std::string& base);

// Leaves room for checksums in a database that has no page yet; nothing in others.
void reserve_checksums(Connection& connection);

// Whether the pages of this database have checksums.
[[nodiscard]] bool has_checksums(Connection& connection);

// Looks at every page of the file without SQLite; the numbers of those that do not match their checksums, up to
// `at_most`. A page that is being written to is looked at again. Nothing when pages have none. Only before this
// process has connections to the database: closing the file lets go of their locks.
//
// Errors: not_found, corrupt (store_corrupt: no database), those of reading.
struct PageScan {
  std::uint64_t pages = 0;
  bool has_checksums = false;
  std::vector<std::uint64_t> damaged;  // counted from 1, as SQLite does
};
[[nodiscard]] base::Result<PageScan> scan_pages(const std::filesystem::path& database,
                                                std::size_t at_most = 100);

// Writes the checksum that each page should have. For whoever has just given a database room for them and has
// no connection to it. Durable.
[[nodiscard]] base::Result<void> seal_pages(const std::filesystem::path& database);

}  // namespace agentrouter::store
