#pragma once
// Threads that read, each with a connection and, per closure, a consistent state of its own.

#include <atomic>
#include <mutex>

#include "base/threads.h"
#include "store/sqlite/rows.h"

namespace agentrouter::store {

class ReaderPool {
 public:
  using Work = std::function<void(Reader&)>;
  using Done = std::function<void(std::exception_ptr)>;

  explicit ReaderPool(std::vector<Connection> connections);
  ~ReaderPool() { close(); }

  // Any thread.
  void submit(Work work, Done done);
  // Closures that wait for a thread. Any thread.
  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  // Refuses new work and waits for the rest.
  void close();

 private:
  void perform(const Work& work);

  std::mutex mutex_;
  std::vector<Connection> free_;  // guarded by mutex_; never empty on a thread of the pool
  bool closed_ = false;           // guarded by mutex_
  std::atomic<std::size_t> waiting_ = 0;
  base::Threads threads_;
};

}  // namespace agentrouter::store
