#pragma once
// Threads that read, each closure in a transaction of its own that sees one consistent state and waits for
// nobody.

#include <atomic>
#include <mutex>
#include <vector>

#include "base/threads.h"
#include "store/capture.h"
#include "store/postgres/session.h"
#include "store/postgres/waker.h"
#include "store/store.h"

namespace agentrouter::store::postgres {

class ReaderPool {
 public:
  using Work = std::function<void(Reader&)>;
  using Done = std::function<void(std::exception_ptr)>;

  // Connections are made when they are needed first, at most `count`.
  ReaderPool(const SessionOptions& options, int count);
  ~ReaderPool() { close(); }

  // Any thread. A closure is run once: when its connection is lost meanwhile it has failed.
  void submit(Work work, Done done);
  // Closures that wait for a thread. Any thread.
  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  // Refuses new work and waits for the rest.
  void close();

 private:
  void perform(const Work& work);
  void connect(Session& session);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Session>> free_;  // guarded by mutex_; never empty on a thread of the pool
  bool closed_ = false;                         // guarded by mutex_
  Backoff backoff_;                             // guarded by mutex_
  base::SteadyClock::time_point try_again_{};   // guarded by mutex_: to connect
  std::exception_ptr away_;                     // guarded by mutex_: why it cannot, before then
  std::atomic<std::size_t> waiting_ = 0;
  base::Threads threads_;
};

}  // namespace agentrouter::store::postgres
