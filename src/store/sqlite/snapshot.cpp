#include "store/sqlite/snapshot.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "base/file.h"
#include "store/sqlite/checked_vfs.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/schema.h"

namespace agentrouter::store {
namespace {

class GuestReader final : public SqliteReading<Reader> {
 public:
  using SqliteReading::SqliteReading;
};

void copy_pages(Connection& from, Connection& to) {
  sqlite3_backup* copy = sqlite3_backup_init(to.handle(), "main", from.handle(), "main");
  if (copy == nullptr)
    throw base::Failure(sqlite_error(to.handle(), "copy the database", sqlite3_errcode(to.handle())));
  int status = SQLITE_OK;
  // All pages in one step: a state of one moment. Busy only while another guest changes the journal mode.
  for (int tries = 0; tries < 50; ++tries) {
    status = sqlite3_backup_step(copy, -1);
    if (status != SQLITE_BUSY && status != SQLITE_LOCKED) break;
    sqlite3_sleep(100);
  }
  const int finished = sqlite3_backup_finish(copy);
  if (status != SQLITE_DONE) throw base::Failure(sqlite_error(nullptr, "copy the database", status));
  if (finished != SQLITE_OK) throw base::Failure(sqlite_error(nullptr, "copy the database", finished));
}

// One file, whole by itself.
void leave_wal(Connection& connection) {
  auto statement = connection.statement("PRAGMA journal_mode = DELETE");
  if (!statement.step() || statement.text(0) != "delete")
    base::throw_failure(base::Code::unavailable, "cannot finish the copy of the database", "storage_failed");
}

// So that the first page, which says that pages have checksums, is there before any other is written.
void make_first_page(Connection& connection) {
  reserve_checksums(connection);
  connection.execute("CREATE TABLE room (a); DROP TABLE room");
}

base::Result<void> make_empty(const std::filesystem::path& path) {
  const base::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return base::fail_errno("cannot make " + path.string(), errno);
  return {};
}

template <class Work>
base::Result<void> guarded(Work work) {
  try {
    work();
    return {};
  } catch (const base::Failure& failure) {
    return tl::unexpected(failure.error());
  }
}

}  // namespace

base::Result<Connection> open_as_guest(const std::filesystem::path& database) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(database, error))
    return base::fail(base::Code::not_found, "there is no database " + database.string());
  try {
    Connection connection(database, checked_vfs(""));
    sqlite3_db_config(connection.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    connection.execute("PRAGMA temp_store = MEMORY; PRAGMA query_only = ON");
    if (auto known = check_schema(connection); !known) return tl::unexpected(known.error());
    return base::Result<Connection>(std::move(connection));
  } catch (const base::Failure& failure) {
    return tl::unexpected(failure.error());
  }
}

base::Result<void> copy_database(const std::filesystem::path& from, const std::filesystem::path& to) {
  auto source = open_as_guest(from);
  if (!source) return tl::unexpected(source.error());
  if (auto made = make_empty(to); !made) return made;
  auto copied = guarded([&] {
    Connection copy(to, checked_vfs(""));
    if (has_checksums(*source)) make_first_page(copy);
    copy_pages(*source, copy);
    leave_wal(copy);
  });
  if (!copied) return copied;
  const base::Fd file(::open(to.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file || ::fsync(file.get()) != 0) return base::fail_errno("cannot sync " + to.string(), errno);
  return base::sync_directory(to.parent_path());
}

base::Result<void> add_checksums(const std::filesystem::path& database) {
  bool made = false;
  auto vacuumed = guarded([&] {
    Connection connection(database, checked_vfs(""));
    connection.statement("SELECT count(*) FROM sqlite_schema").run();
    if (has_checksums(connection)) return;
    leave_wal(connection);
    reserve_checksums(connection);
    connection.execute("VACUUM");
    made = true;
  });
  if (!vacuumed || !made) return vacuumed;
  return seal_pages(database);
}

std::vector<NamedBlob> named_blobs(Connection& database) {
  std::vector<NamedBlob> all;
  auto statement = database.statement(
      "SELECT r2_key AS key, a.size_bytes, a.sha256, 'artifact ' || a.id FROM artifacts a JOIN runs r ON r.id = a.run_id "
      "UNION ALL "
      "SELECT key, size_bytes, sha256, 'checkpoint of ' || run_id FROM checkpoints WHERE doomed = 0 "
      "ORDER BY key");
  while (statement.step()) {
    NamedBlob blob{statement.text(0), statement.integer(1), statement.text(2), statement.text(3)};
    if (all.empty() || all.back().key != blob.key) all.push_back(std::move(blob));
  }
  return all;
}

bool has_sealed_values(Connection& database) {
  auto tables = database.statement("SELECT count(*) FROM sqlite_schema WHERE name = 'data_keys'");
  if (!tables.step() || tables.integer(0) == 0) return false;
  auto keys = database.statement("SELECT count(*) FROM data_keys");
  return keys.step() && keys.integer(0) > 0;
}

std::unique_ptr<Reader> reader_of(Connection& database) {
  return std::make_unique<GuestReader>(database);
}

}  // namespace agentrouter::store
