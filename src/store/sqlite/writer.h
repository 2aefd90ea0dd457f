#pragma once
// Group commit: whatever has queued up while the last commit was written goes into the next one, each closure
// in its own savepoint. There is no linger: an idle writer commits the first closure at once.

#include <deque>

#include "base/threads.h"
#include "store/capture.h"
#include "store/listeners.h"
#include "store/sqlite/checkpointer.h"
#include "store/sqlite/sqlite_store.h"
#include "store/sqlite/transaction.h"

namespace agentrouter::store {

class Writer {
 public:
  using Work = std::function<bool(Transaction&)>;
  using Done = std::function<void(std::exception_ptr)>;

  // The references must outlive the writer.
  Writer(Connection connection, const SqliteOptions& options, Listeners& listeners,
         Checkpointer& checkpointer, base::Histogram& batches);
  ~Writer() { close(); }

  // Any thread.
  void submit(Work work, Done done);
  // Closures that wait for their commit to begin. Any thread.
  [[nodiscard]] std::size_t waiting() const;
  // Refuses new work and waits until what was queued is committed.
  void close();

 private:
  struct Item {
    Work work;
    Done done;
    std::exception_ptr error;
  };

  void drain();
  void commit(std::vector<Item>& batch);
  void give_back(std::vector<Item>& batch, const std::exception_ptr& failed);
  [[nodiscard]] std::exception_ptr recover();
  void run_all(std::vector<Item>& batch);
  void run_one(Item& item);
  void cap_wal();
  static int on_wal(void* writer, sqlite3* db, const char* name, int pages);

  Connection connection_;
  SqliteTransaction transaction_;
  const std::size_t batch_cap_;
  const std::int64_t wal_cap_;
  std::int64_t next_cap_;
  std::int64_t page_size_ = 4096;
  std::int64_t wal_pages_ = 0;
  bool suspect_ = false;  // the disk refused to sync: nothing is written before recover() has worked
  Listeners& listeners_;
  Checkpointer& checkpointer_;
  base::Histogram& batches_;

  mutable std::mutex mutex_;
  std::deque<Item> queue_;  // guarded by mutex_
  bool draining_ = false;   // guarded by mutex_
  bool closed_ = false;     // guarded by mutex_
  base::Threads thread_{1};
};

}  // namespace agentrouter::store
