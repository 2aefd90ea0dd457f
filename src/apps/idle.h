#pragma once
// Whether anything is going on: requests, live streams, runs that have not ended. Wakes who waits for quiet.

#include <functional>

#include "base/event.h"
#include "store/store.h"

namespace agentrouter::apps {

class Activity final : public store::CommitListener {
 public:
  Activity(base::Executor executor, store::Store& store);
  ~Activity() override;

  // On the executor.
  void touch();
  // Resumes when `quiet` has passed without a touch, a request in flight or an active run.
  base::Task<void> wait_for_quiet(std::chrono::seconds quiet, std::function<std::size_t()> in_flight);
  // Resumes when no run is active, or after give_up().
  base::Task<void> wait_for_runs();
  void give_up();

  void committed(std::shared_ptr<const std::vector<model::Event>> events) override;
  void run_changed(const model::RunId& run, model::RunStatus status) override;
  void missed() override { look_again(); }

 private:
  base::Task<bool> runs_are_active();
  void look_again();

  base::Executor executor_;
  store::Store& store_;
  base::Event changed_;
  base::Deadline last_;
  bool given_up_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace agentrouter::apps
