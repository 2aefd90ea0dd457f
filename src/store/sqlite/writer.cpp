#include "store/sqlite/writer.h"

#include "base/log.h"

namespace agentrouter::store {

Writer::Writer(Connection connection, const SqliteOptions& options, Listeners& listeners,
               Checkpointer& checkpointer, base::Histogram& batches)
    : connection_(std::move(connection)),
      transaction_(connection_),
      batch_cap_(options.batch_cap),
      wal_cap_(options.wal_cap_bytes),
      next_cap_(options.wal_cap_bytes),
      listeners_(listeners),
      checkpointer_(checkpointer),
      batches_(batches) {
  connection_.execute("PRAGMA synchronous = FULL");
  // A large commit is kept in memory until its end: spilling looks through every changed page for each new one.
  connection_.execute("PRAGMA cache_spill = OFF");
  auto size = connection_.statement("PRAGMA page_size");
  if (size.step()) page_size_ = size.integer(0);
  sqlite3_wal_hook(connection_.handle(), &Writer::on_wal, this);
}

int Writer::on_wal(void* writer, sqlite3*, const char*, int pages) {
  static_cast<Writer*>(writer)->wal_pages_ = pages;
  return SQLITE_OK;
}

void Writer::submit(Work work, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      queue_.push_back({std::move(work), std::move(done), nullptr});
      if (draining_) return;
      draining_ = true;
      thread_.post([this] { drain(); });
      return;
    }
  }
  done(store_closed());
}

void Writer::drain() {
  std::vector<Item> batch;
  while (true) {
    batch.clear();
    {
      const std::lock_guard lock(mutex_);
      const auto count = static_cast<std::ptrdiff_t>(std::min(queue_.size(), batch_cap_));
      if (count == 0) {
        draining_ = false;
        return;
      }
      std::move(queue_.begin(), queue_.begin() + count, std::back_inserter(batch));
      queue_.erase(queue_.begin(), queue_.begin() + count);
    }
    commit(batch);
  }
}

void Writer::commit(std::vector<Item>& batch) {
  suspect_ = checkpointer_.take_suspicion() || suspect_;
  if (suspect_) {
    if (const auto refused = recover()) return give_back(batch, refused);
  }
  const auto failed = capture([&] { run_all(batch); });
  if (failed && may_have_lost(sqlite3_extended_errcode(connection_.handle()))) {
    suspect_ = true;
    base::log(base::LogLevel::error, "the disk did not take a commit: the store recovers before it writes again",
              {{"cause", sqlite3_errmsg(connection_.handle())}});
  }
  auto events = transaction_.take_events();
  const auto changes = transaction_.take_changes();
  const bool outbox_changed = transaction_.take_outbox_change();
  const auto note_kinds = transaction_.take_note_changes();
  if (failed) {
    connection_.abandon_transaction();
    for (auto& item : batch) {
      if (!item.error) item.error = failed;
    }
  } else {
    checkpointer_.poke();
    batches_.add(static_cast<double>(batch.size()));
    listeners_.tell(std::move(events), changes, outbox_changed, note_kinds);
  }
  give_back(batch, nullptr);
  if (!failed) cap_wal();
}

void Writer::give_back(std::vector<Item>& batch, const std::exception_ptr& failed) {
  for (auto& item : batch) {
    item.work = nullptr;
    item.done(failed ? failed : item.error);
  }
}

// After a sync that failed the kernel may have thrown away what it could not write and call it clean: what the
// WAL seems to hold behind the last commit that was acknowledged is worth nothing, and a second sync proves
// nothing. So all that was acknowledged is moved into the database and synced there, and the WAL begins anew.
std::exception_ptr Writer::recover() {
  sqlite3_busy_timeout(connection_.handle(), 1000);
  int status =
      sqlite3_wal_checkpoint_v2(connection_.handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(connection_.handle(), 5000);
  sqlite3_file* wal = nullptr;
  if (status == SQLITE_OK)
    status = sqlite3_file_control(connection_.handle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (status == SQLITE_OK && wal != nullptr && wal->pMethods != nullptr)
    status = wal->pMethods->xSync(wal, SQLITE_SYNC_FULL);
  if (status != SQLITE_OK) {
    const std::string cause = sqlite3_errstr(status);
    return std::make_exception_ptr(base::Failure(base::Error{
        base::Code::unavailable, "cannot write to the store: it waits for its disk (" + cause + ")",
        (status & 0xff) == SQLITE_FULL ? "storage_full" : "storage_failed"}));
  }
  suspect_ = false;
  wal_pages_ = 0;
  base::log(base::LogLevel::info, "the store has recovered", {});
  return nullptr;
}

// Throws when the whole batch is lost.
void Writer::run_all(std::vector<Item>& batch) {
  connection_.statement("BEGIN IMMEDIATE").run();
  for (auto& item : batch) run_one(item);
  connection_.statement("COMMIT").run();
}

void Writer::run_one(Item& item) {
  connection_.statement("SAVEPOINT one").run();
  const auto mark = transaction_.mark();
  bool keep = false;
  item.error = capture([&] { keep = item.work(transaction_); });
  if (!connection_.in_transaction()) {
    // A full disk can make SQLite undo the whole transaction in the middle of a closure.
    if (item.error) std::rethrow_exception(item.error);
    base::throw_failure(base::Code::unavailable, "cannot write to the store: the transaction was undone",
                        "storage_failed");
  }
  if (item.error || !keep) {
    connection_.statement("ROLLBACK TO one").run();
    transaction_.forget_after(mark);
  }
  connection_.statement("RELEASE one").run();
}

void Writer::cap_wal() {
  if (wal_pages_ * page_size_ < next_cap_) return;
  sqlite3_busy_timeout(connection_.handle(), 100);
  const int status =
      sqlite3_wal_checkpoint_v2(connection_.handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(connection_.handle(), 5000);
  if (status == SQLITE_OK) {
    wal_pages_ = 0;
    next_cap_ = wal_cap_;
    return;
  }
  suspect_ = suspect_ || may_have_lost(sqlite3_extended_errcode(connection_.handle()));
  // A reader holds an old state: try again when the WAL has grown by another quarter.
  next_cap_ = wal_pages_ * page_size_ + wal_cap_ / 4;
  base::log(base::LogLevel::warn, "the write-ahead log is over its cap",
            {{"bytes", static_cast<long long>(wal_pages_ * page_size_)}, {"cause", sqlite3_errstr(status)}});
}

std::size_t Writer::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void Writer::close() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
  }
  thread_.join();
}

}  // namespace agentrouter::store
