#pragma once
// Moves committed pages from the WAL into the database beside the writer, so that no commit waits for it.

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/asio.h"
#include "store/sqlite/statement.h"

namespace agentrouter::store {

// A thread with a connection of its own that sleeps until poke() and checkpoints `delay` later; again only
// while a reader kept it from finishing.
class Checkpointer {
 public:
  Checkpointer(Connection connection, std::chrono::milliseconds delay);
  ~Checkpointer() { close(); }

  // Something was committed. Cheap; any thread.
  void poke();
  // Waits for a checkpoint that has begun.
  void close();

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                 asio::thread_pool::executor_type>;
  void arm();
  void checkpoint();

  Connection connection_;
  const std::chrono::milliseconds delay_;
  std::atomic<bool> scheduled_{false};
  std::atomic<bool> closed_{false};
  asio::thread_pool thread_{1};
  Timer timer_{thread_.get_executor()};
};

}  // namespace agentrouter::store
