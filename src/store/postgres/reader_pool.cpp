#include "store/postgres/reader_pool.h"

#include "store/postgres/reader.h"

namespace agentrouter::store::postgres {

namespace {

std::vector<std::unique_ptr<Session>> make_sessions(const SessionOptions& options, int count) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < std::max(count, 1); ++i) sessions.push_back(std::make_unique<Session>(options));
  return sessions;
}

}  // namespace

ReaderPool::ReaderPool(const SessionOptions& options, int count)
    : free_(make_sessions(options, count)), threads_(free_.size()) {}

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
  auto session = std::move(free_.back());
  free_.pop_back();
  lock.unlock();
  const auto error = capture([&] {
    if (!session->is_alive()) connect(*session);
    session->begin(Session::Access::read);
    PgReader reader(*session);
    work(reader);
    session->commit();
  });
  session->rollback();
  lock.lock();
  free_.push_back(std::move(session));
  lock.unlock();
  if (error) std::rethrow_exception(error);
}

void ReaderPool::connect(Session& session) {
  {
    const std::lock_guard lock(mutex_);
    if (away_ && base::SteadyClock::now() < try_again_) std::rethrow_exception(away_);
  }
  const auto failed = capture([&] { session.connect(); });
  const std::lock_guard lock(mutex_);
  away_ = failed;
  if (!failed) return backoff_.reset();
  try_again_ = base::SteadyClock::now() + backoff_.next();
  std::rethrow_exception(failed);
}

void ReaderPool::close() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
  }
  threads_.join();
}

}  // namespace agentrouter::store::postgres
