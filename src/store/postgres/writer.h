#pragma once
// Group commit in turns: whatever has queued up goes into one transaction, which waits for the writer's turn
// of the whole cluster, each closure in its own savepoint. So a closure sees everything that was committed
// before it by any node, and none runs beside it.
//
// A closure is never run twice. When the connection is lost before the commit was sent, its group is undone.
// When the answer to the commit is lost, the group waits until the log says whether it happened, and nothing
// is written before.

#include <deque>
#include <mutex>

#include "base/figures.h"
#include "base/threads.h"
#include "store/capture.h"
#include "store/postgres/feed.h"
#include "store/postgres/transaction.h"

namespace agentrouter::store::postgres {

struct WriterOptions {
  SessionOptions session;
  std::string node;
  // Of one commit. More than 64 savepoints that write make every snapshot of the server slower.
  std::size_t batch_cap = 60;
  std::chrono::seconds keep_commits{900};  // rows of the log
};

class Writer {
 public:
  using Work = std::function<bool(Transaction&)>;
  using Done = std::function<void(std::exception_ptr)>;

  // Both references outlive the writer.
  Writer(WriterOptions options, Feed& feed, base::Histogram& batches);
  ~Writer() { close(); }

  // Any thread. While the database is away, `done` hears of it soon: nothing waits for it to come back.
  void submit(Work work, Done done);
  // Closures that wait for their commit to begin. Any thread.
  [[nodiscard]] std::size_t waiting() const;
  // Refuses new work and waits until what was queued is committed. What of it nobody knows then has failed
  // with unavailable (commit_unknown).
  void close();

 private:
  struct Item {
    Work work;
    Done done;
    std::exception_ptr error;
    bool kept = false;
  };
  // A group whose commit was not answered.
  struct Unknown {
    std::vector<Item> items;
    CommitName name;
    Capture capture;
    base::SteadyClock::time_point since;  // the log may have forgotten it after a while
  };

  void drain();
  bool has_queued();
  std::vector<Item> take_queued();
  std::exception_ptr begin();
  void commit(std::vector<Item>& batch);
  void run_one(Item& item);
  void undo_one();
  void record(std::size_t writes);
  std::exception_ptr connect();
  void end_predecessor();
  void settle();
  bool try_to_settle();
  void purge_sometimes();
  static void give_back(std::vector<Item>& batch, const std::exception_ptr& failed);

  const WriterOptions options_;
  Feed& feed_;
  base::Histogram& batches_;
  Session session_;
  Capture capture_;
  PgTransaction transaction_{session_, capture_};
  std::int64_t tickets_ = 0;
  std::optional<Unknown> unknown_;
  Backoff backoff_;
  base::SteadyClock::time_point try_again_{};  // to connect
  std::exception_ptr away_;                    // why it cannot, before then
  base::SteadyClock::time_point purge_at_{};

  mutable std::mutex mutex_;
  std::deque<Item> queue_;  // guarded by mutex_
  bool draining_ = false;   // guarded by mutex_
  bool closed_ = false;     // guarded by mutex_
  base::Threads thread_{1};
};

}  // namespace agentrouter::store::postgres
