#pragma once
// Clients of the API, as use cases over the store: they create runs, continue, decide, cancel and close, repeat
// what they got no answer to under the same key, and follow runs live from where they stand.

#include <deque>

#include "checker.h"
#include "runs/context.h"
#include "store/store.h"
#include "stream/hub.h"

namespace agentrouter::simulation {

class Clients {
 public:
  struct Needs {
    Loop& loop;
    Checker& checker;
    int runs = 20;         // asked for in all
    int subscribers = 6;
  };
  explicit Clients(Needs needs);

  // The server is there, until it is gone. The references outlive that time.
  void connected(const std::shared_ptr<Process>& server, store::Store& store, stream::Hub& hub);
  void disconnected();
  // What they still want is done, and everything that waits for a decision gets one.
  void hurry() { hurries_ = true; }
  // All that was asked for is answered, and all followers have seen the ends.
  [[nodiscard]] bool content() const;
  [[nodiscard]] std::string describe() const;

 private:
  struct Wish {
    std::string key;
    std::string task;
    bool action_scope = false;
    int approval_mode = 0;
    bool done = false;
    bool under_way = false;
    std::int64_t timeout_s = 0;
  };
  struct Follower {
    std::string run;
    std::int64_t cursor = 0;
    bool ended = false;
    bool under_way = false;
    std::unique_ptr<stream::Subscription> subscription;
  };

  void tick();
  void act();
  void create(Wish& wish);
  void decide_something();
  void cancel_something();
  void continue_something();
  void close_something();
  void follow(Follower& follower);
  [[nodiscard]] std::string any_run();
  void spawn(base::Task<void> task);

  base::Task<void> do_create(Wish& wish, int life);
  base::Task<void> do_decide(int life);
  base::Task<void> do_cancel(model::RunId run);
  base::Task<void> do_continue(model::RunId run, std::string key);
  base::Task<void> do_close(model::RunId run);
  base::Task<void> do_delete(model::RunId run);
  base::Task<void> do_follow(Follower& follower, int life);

  Needs needs_;
  Random random_;
  std::shared_ptr<Process> server_;
  store::Store* store_ = nullptr;
  stream::Hub* hub_ = nullptr;
  int life_ = 0;  // which server this is
  bool hurries_ = false;
  std::deque<Wish> wishes_;
  std::deque<Follower> followers_;
  std::vector<std::string> runs_;  // that they know of
};

}  // namespace agentrouter::simulation
