#pragma once
// Threads that run what is posted to them, in the order of posting as they become free. Under a simulation there
// are none: it is given the work, and runs it on its own thread when it likes.

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "base/asio.h"

namespace agentrouter::base {

class Threads {
 public:
  using Work = std::function<void()>;

  explicit Threads(std::size_t count);
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { join(); }

  // Any thread. `work` does not throw.
  template <class Call>
  void post(Call work) {
    if (threads_) {
      asio::post(*threads_, std::move(work));
    } else {
      const auto shared = std::make_shared<Call>(std::move(work));
      simulate([shared] { (*shared)(); }, {});
    }
  }
  // Not before `delay`. Any thread.
  void post_after(std::chrono::milliseconds delay, Work work);
  // Drops what still waits for its time and returns when all the rest has run. Nothing is posted any more.
  void join();

 private:
  using Timer =
      asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                 asio::thread_pool::executor_type>;
  void simulate(Work work, std::chrono::milliseconds delay);

  std::optional<asio::thread_pool> threads_;  // none: simulated
  std::mutex mutex_;
  std::list<Timer> delayed_;  // guarded by mutex_
  bool joined_ = false;       // guarded by mutex_
};

// What a simulation puts in the place of all threads; like SteadySource one at a time, before the first of them.
class ThreadSource {
 public:
  virtual ~ThreadSource() = default;
  virtual void begin(const Threads& threads, std::size_t count) = 0;
  // To be run once, and not before the work that the same one-threaded `threads` posted earlier.
  virtual void post(const Threads& threads, Threads::Work work, std::chrono::milliseconds delay) = 0;
  // Runs what was posted without a delay, now; forgets the rest.
  virtual void join(const Threads& threads) = 0;
};
// Null: the machine's.
void set_thread_source(ThreadSource* source) noexcept;

}  // namespace agentrouter::base
