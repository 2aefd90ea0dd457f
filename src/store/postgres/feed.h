#pragma once
// Tells this node's listeners of every commit, its own and those of other nodes, once each and in the order
// of their positions. The truth is the log (commit_log.h): a thread with a connection of its own reads what
// is behind the last position that was told. NOTIFY only says when to look; without it the thread looks again
// and again.
//
// A commit of this node is told by the writer's thread at once, from memory, when it is the next one.

#include <atomic>
#include <map>
#include <mutex>

#include "base/threads.h"
#include "store/listeners.h"
#include "store/postgres/commit_log.h"
#include "store/postgres/waker.h"

namespace agentrouter::store::postgres {

struct FeedOptions {
  SessionOptions session;
  bool listens = true;                         // false: through a pooler that passes no notifications on
  std::chrono::milliseconds poll{20};          // without them
  std::chrono::milliseconds look_again{1000};  // with them: one may be lost
  std::size_t own_commits = 256;               // kept in memory for their turn; more are read from the log
};

class Feed {
 public:
  // `told`: where the log was when the store was opened. `listeners` outlives the feed.
  Feed(FeedOptions options, Listeners& listeners, std::int64_t told, std::optional<CommitName> told_name);
  ~Feed() { close(); }

  // This node has committed. The writer's thread.
  void committed(std::int64_t position, const CommitName& name, Capture capture);
  // Up to where listeners know. Any thread.
  [[nodiscard]] std::int64_t told() const;
  void close();

 private:
  struct Own {
    CommitName name;
    Capture capture;
  };

  void follow();
  void connect();
  void catch_up();
  void tell(const LoggedCommit& commit);
  [[nodiscard]] Capture read_capture(const LoggedCommit& commit);
  void deliver(std::int64_t position, const CommitName& name, Capture capture);
  void deliver_own();
  void start_over(const LogHead& head);
  void note_failure(const base::Failure& failure);

  const FeedOptions options_;
  Listeners& listeners_;
  Session session_;
  Waker waker_;
  Backoff backoff_;
  bool is_away_ = false;
  std::atomic<bool> closed_ = false;

  mutable std::mutex mutex_;             // held while listeners are told: their order is that of the log
  std::int64_t told_;                    // guarded by mutex_
  std::optional<CommitName> told_name_;  // guarded by mutex_; of the commit at told_
  std::map<std::int64_t, Own> own_;      // guarded by mutex_; behind told_
  base::Threads thread_{1};
};

}  // namespace agentrouter::store::postgres
