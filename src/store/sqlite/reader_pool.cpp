#include "store/sqlite/reader_pool.h"

#include "store/capture.h"

namespace agentrouter::store {

namespace {

class SqliteReader final : public SqliteReading<Reader> {
 public:
  using SqliteReading::SqliteReading;
};

}  // namespace

ReaderPool::ReaderPool(std::vector<Connection> connections)
    : free_(std::move(connections)), threads_(free_.size()) {
  for (auto& connection : free_) connection.execute("PRAGMA query_only = 1");
}

void ReaderPool::submit(Work work, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      ++waiting_;
      threads_.post([this, work = std::move(work), done = std::move(done)]() mutable {
        --waiting_;
        const auto error = capture([&] { perform(work); });
        work = nullptr;
        done(error);
      });
      return;
    }
  }
  done(store_closed());
}

void ReaderPool::perform(const Work& work) {
  std::unique_lock lock(mutex_);
  Connection connection = std::move(free_.back());
  free_.pop_back();
  lock.unlock();
  const auto error = capture([&] {
    connection.statement("BEGIN").run();
    SqliteReader reader(connection);
    work(reader);
    connection.statement("COMMIT").run();
  });
  connection.abandon_transaction();
  lock.lock();
  free_.push_back(std::move(connection));
  lock.unlock();
  if (error) std::rethrow_exception(error);
}

void ReaderPool::close() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
  }
  threads_.join();
}

}  // namespace agentrouter::store
