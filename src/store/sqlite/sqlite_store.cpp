#include "store/sqlite/sqlite_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "store/sqlite/checked_vfs.h"
#include "store/sqlite/folder_lock.h"
#include "store/sqlite/reader_pool.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/writer.h"

namespace agentrouter::store {

namespace {

// SQLite gives a new file the umask's mode, and the WAL that of the file.
base::Result<void> make_private_file(const std::filesystem::path& path) {
  const base::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return base::fail_errno("cannot open " + path.string(), errno);
  return {};
}

void use_wal(Connection& connection) {
  auto statement = connection.statement("PRAGMA journal_mode = WAL");
  if (!statement.step() || statement.text(0) != "wal") {
    base::throw_failure(base::Code::unavailable,
                        "cannot open the store: the file system does not allow a WAL", "storage_failed");
  }
}

constexpr sqlite3_int64 piece = 64 << 10;  // SQLite's file system takes less than 128 KiB at once

void write_anew(sqlite3_file& file) {
  const auto check = [](int status) {
    if (status != SQLITE_OK) throw base::Failure(sqlite_error(nullptr, "write the log of the store anew", status));
  };
  sqlite3_int64 size = 0;
  check(file.pMethods->xFileSize(&file, &size));
  std::vector<char> bytes(static_cast<std::size_t>(std::min(size, piece)));
  for (sqlite3_int64 at = 0; at < size;) {
    const auto count = static_cast<int>(std::min(size - at, piece));
    check(file.pMethods->xRead(&file, bytes.data(), count, at));
    check(file.pMethods->xWrite(&file, bytes.data(), count, at));
    at += count;
  }
  if (size > 0) check(file.pMethods->xSync(&file, SQLITE_SYNC_FULL));
}

// A process that ended after a sync of the WAL had failed leaves commits in it that are read but are not on the disk,
// and that no later sync would write, because the kernel calls them clean. What is acknowledged from now on comes
// behind them and would be lost with them. So what is read is made what is on the disk.
void make_wal_durable(Connection& connection) {
  connection.statement("SELECT count(*) FROM sqlite_schema").run();
  sqlite3_file* wal = nullptr;
  sqlite3_file_control(connection.handle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (wal != nullptr && wal->pMethods != nullptr) write_anew(*wal);
}

Connection connect(const std::filesystem::path& path, const SqliteOptions& options) {
  Connection connection(path, checked_vfs(options.vfs));
  connection.execute("PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON");
  return connection;
}

class SqliteStore final : public Store {
 public:
  SqliteStore(std::shared_ptr<FolderLock> lock, Connection writer, const std::filesystem::path& path,
              const SqliteOptions& options)
      : lock_(std::move(lock)),
        checkpointer_(connect(path, options), options.checkpoint_delay),
        readers_(reading(path, options)),
        writer_(std::move(writer), options, listeners_, checkpointer_, figures_.batches) {}
  ~SqliteStore() override { SqliteStore::close(); }

  [[nodiscard]] Waiting waiting() const override { return {writer_.waiting(), readers_.waiting()}; }
  void add_listener(CommitListener* listener) override { listeners_.add(listener); }
  void remove_listener(CommitListener* listener) override { listeners_.remove(listener); }
  void close() override {
    writer_.close();
    readers_.close();
    checkpointer_.close();
  }

 protected:
  void submit_write(WriteWork work, Done done) override { writer_.submit(std::move(work), std::move(done)); }
  void submit_read(ReadWork work, Done done) override { readers_.submit(std::move(work), std::move(done)); }

 private:
  static std::vector<Connection> reading(const std::filesystem::path& path, const SqliteOptions& options) {
    std::vector<Connection> connections;
    for (int i = 0; i < std::max(options.readers, 1); ++i) connections.push_back(connect(path, options));
    return connections;
  }

  std::shared_ptr<FolderLock> lock_;  // released last, when every connection is closed
  Listeners listeners_;
  Checkpointer checkpointer_;
  ReaderPool readers_;
  Writer writer_;
};

}  // namespace

base::Result<std::unique_ptr<Store>> open_sqlite_store(const std::filesystem::path& given,
                                                       SqliteOptions options) {
  const auto path = std::filesystem::absolute(given);
  auto lock = options.lock;
  if (!lock) {
    AGENTROUTER_TRY(auto taken, FolderLock::take(path.parent_path()));
    lock = std::make_shared<FolderLock>(std::move(taken));
  }
  if (auto made = make_private_file(path); !made) return tl::unexpected(made.error());
  try {
    Connection writer = connect(path, options);
    // Before anything is written: a foreign or newer file stays as it is.
    if (auto checked = check_schema(writer); !checked) return tl::unexpected(checked.error());
    reserve_checksums(writer);
    use_wal(writer);
    make_wal_durable(writer);
    writer.execute("PRAGMA synchronous = FULL");
    migrate(writer);
    if (auto synced = base::sync_directory(path.parent_path()); !synced)
      return tl::unexpected(synced.error());
    return std::make_unique<SqliteStore>(std::move(lock), std::move(writer), path, options);
  } catch (const base::Failure& failure) {
    return tl::unexpected(failure.error());
  }
}

}  // namespace agentrouter::store
