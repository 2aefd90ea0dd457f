#pragma once
// Moves committed pages from the WAL into the database beside the writer, so that no commit waits for it.

#include <atomic>

#include "base/threads.h"
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
  // Whether the disk has lost something of what a checkpoint synced or wrote since this was asked last. Any thread.
  [[nodiscard]] bool take_suspicion() { return suspect_.exchange(false); }
  // Waits for a checkpoint that has begun.
  void close();

 private:
  void checkpoint();

  Connection connection_;
  const std::chrono::milliseconds delay_;
  std::atomic<bool> scheduled_{false};
  std::atomic<bool> closed_{false};
  std::atomic<bool> refused_{false};  // by the disk
  std::atomic<bool> suspect_{false};
  base::Threads thread_{1};
};

}  // namespace agentrouter::store
