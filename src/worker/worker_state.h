#pragma once
// The inside of the worker: what worker.cpp (the queue) and worker_leases.cpp (leases, what was left) share.

#include <boost/asio/post.hpp>
#include <list>
#include <set>

#include "base/task_scope.h"
#include "worker/lease_watch.h"
#include "worker/reclaimer.h"
#include "worker/run_driver.h"

namespace agentrouter::worker {

// Hears of commits on the store's thread and passes them to the worker's executor, as long as there is one.
class Worker::State final : public store::CommitListener {
 public:
  State(Needs needs, WorkerConfig config)
      : cassettes_(config.cassettes),
        context_{.needs = std::move(needs),
                 .config = std::move(config),
                 .pool = pool_,
                 .blob_pool = blob_pool_,
                 .attempts = {}},
        watch_(context_.config.lease),
        wake_(context_.needs.executor),
        leases_wake_(context_.needs.executor),
        idle_(context_.needs.executor),
        removal_wake_(context_.needs.executor),
        reclaimer_(context_),
        mailbox_(std::make_shared<Mailbox>(Mailbox{this})),
        scope_(context_.needs.executor) {}
  ~State() override { mailbox_->state = nullptr; }

  base::Task<void> run();
  void stop();
  void policies_changed();
  void drain(bool draining);
  [[nodiscard]] int active() const { return static_cast<int>(drivers_.size()); }
  base::Task<void> idle();
  void duties_changed() { reclaimer_.wake(); }

  void committed(std::shared_ptr<const std::vector<model::Event>> events) override;
  void run_changed(const model::RunId& run, model::RunStatus status) override;
  void missed() override;

 private:
  static constexpr std::size_t pool_threads = 4;

  struct Mailbox {
    State* state;  // only looked at on the executor
  };

  base::Task<void> work();
  base::Task<bool> stored(base::Task<void> work);
  base::Task<void> rest();
  base::Task<void> open_folders();
  base::Task<void> open_layers();
  base::Task<void> open_gone();
  base::Task<void> remove_gone();
  base::Task<void> adopt_all();
  base::Task<void> adopt(const store::Attempt& attempt, std::optional<runs::LeaseSeen> stood_still);
  base::Task<void> retire_older(const store::Attempt& attempt);
  base::Task<bool> is_for_others(const store::Attempt& attempt);
  base::Task<void> look_after_others();
  base::Task<std::vector<store::Attempt>> open_attempts();
  base::Task<void> remove_leftovers(const std::vector<model::AttemptId>& folders);
  base::Task<void> tidy_lost();
  [[nodiscard]] bool is_look_due();
  [[nodiscard]] base::Deadline next_look() const { return std::min(watch_.next(), tidy_due_); }
  base::Task<void> take_queued();
  bool has_disk();
  [[nodiscard]] bool has_slot() const;
  base::Task<void> settle_cancelled();
  base::Task<void> look_at_own();
  base::Task<void> drive(std::list<RunDriver>::iterator driver);
  base::Task<void> keep_leases();
  base::Task<void> renew_leases();
  void start(runs::Claim claim, RunDriver::Origin origin);
  RunDriver* driver_of(const model::RunId& run);
  void note_stranger(const model::RunId& run);

  template <class Work>
  void post(Work work) {
    asio::post(context_.needs.executor, [mailbox = mailbox_, work = std::move(work)] {
      if (mailbox->state != nullptr) work(*mailbox->state);
    });
  }

  std::unique_ptr<KeptLayers> layers_;
  std::unique_ptr<GoneTrees> gone_;
  Cassettes cassettes_;
  base::Pool pool_{pool_threads};
  base::Pool blob_pool_{pool_threads};
  base::Pool removal_pool_{1};
  base::Fd attempts_dir_;
  DriverContext context_;
  std::list<RunDriver> drivers_;
  bool work_due_ = true;
  LeaseWatch watch_;
  bool look_due_ = true;              // at the attempts that nobody here drives
  std::set<model::RunId> strangers_;  // runs that somebody has begun to work on
  std::set<model::AttemptId> lost_;   // attempts with folders here that another worker settles now
  base::Deadline tidy_due_ = base::Deadline::max();  // whether their folders are needed any more
  bool own_look_due_ = false;  // whether a run that is driven here was cancelled meanwhile
  bool draining_ = false;
  bool disk_is_low_ = false;
  bool store_is_away_ = false;
  base::Event wake_;
  base::Event leases_wake_;
  base::Event idle_;
  base::Event removal_wake_;
  bool removal_due_ = true;
  Reclaimer reclaimer_;
  std::shared_ptr<Mailbox> mailbox_;
  base::TaskScope scope_;
};

}  // namespace agentrouter::worker
