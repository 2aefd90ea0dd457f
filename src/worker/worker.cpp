#include "worker/worker.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <list>
#include <map>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/task_scope.h"
#include "runs/cancel.h"
#include "worker/reclaimer.h"
#include "worker/run_driver.h"

namespace agentrouter::worker {
namespace {

constexpr std::size_t pool_threads = 4;
constexpr std::chrono::milliseconds finish_grace{3500};
constexpr std::chrono::seconds look_at_disk_again{2};

}  // namespace

int default_concurrency() {
  const long cores = std::max(1l, ::sysconf(_SC_NPROCESSORS_ONLN));
  const auto memory = static_cast<long long>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  constexpr long long gib = 1ll << 30;
  const long long by_memory = (memory - 2 * gib) / gib;
  return static_cast<int>(std::clamp<long long>(std::min<long long>(2 * cores, by_memory), 1, 1024));
}

// Hears of commits on the store's thread and passes them to the worker's executor, as long as there is one.
class Worker::State final : public store::CommitListener {
 public:
  State(Needs needs, WorkerConfig config)
      : cassettes_(config.cassettes),
        pool_(pool_threads),
        context_{.needs = std::move(needs), .config = std::move(config), .pool = pool_, .attempts = {}},
        wake_(context_.needs.executor),
        leases_wake_(context_.needs.executor),
        reclaimer_(context_),
        mailbox_(std::make_shared<Mailbox>(Mailbox{this})),
        scope_(context_.needs.executor) {}
  ~State() override { mailbox_->state = nullptr; }

  base::Task<void> run();
  void stop();
  void policies_changed();

  void committed(std::shared_ptr<const std::vector<model::Event>> events) override;
  void run_changed(const model::RunId& run, model::RunStatus status) override;

 private:
  struct Mailbox {
    State* state;  // only looked at on the executor
  };

  base::Task<void> work();
  base::Task<void> open_folders();
  base::Task<void> open_layers();
  base::Task<void> adopt_all();
  base::Task<void> retire_older(std::vector<store::Attempt> older);
  base::Task<void> take_queued();
  bool has_disk();
  base::Task<void> settle_cancelled();
  base::Task<void> drive(std::list<RunDriver>::iterator driver);
  base::Task<void> keep_leases();
  void start(runs::Claim claim, RunDriver::Origin origin);
  RunDriver* driver_of(const model::RunId& run);

  template <class Work>
  void post(Work work) {
    asio::post(context_.needs.executor, [mailbox = mailbox_, work = std::move(work)] {
      if (mailbox->state != nullptr) work(*mailbox->state);
    });
  }

  std::unique_ptr<KeptLayers> layers_;
  Cassettes cassettes_;
  base::Pool pool_;
  base::Fd attempts_dir_;
  DriverContext context_;
  std::list<RunDriver> drivers_;
  bool work_due_ = true;
  bool disk_is_low_ = false;
  base::Event wake_;
  base::Event leases_wake_;
  Reclaimer reclaimer_;
  std::shared_ptr<Mailbox> mailbox_;
  base::TaskScope scope_;
};

void Worker::State::committed(std::shared_ptr<const std::vector<model::Event>> events) {
  for (const auto& event : *events) {
    if (event.type != "approval.decided" && event.type != "approval.expired") continue;
    post([run = event.run_id](State& state) {
      if (RunDriver* driver = state.driver_of(run)) driver->decision_made();
    });
  }
}

void Worker::State::run_changed(const model::RunId& run, model::RunStatus status) {
  if (model::is_terminal(status)) {
    return post([](State& state) {
      state.reclaimer_.wake();
      for (auto& driver : state.drivers_) driver.budgets_changed();
    });
  }
  if (status != model::RunStatus::queued && status != model::RunStatus::cancelling) return;
  post([run, status](State& state) {
    state.work_due_ = true;
    state.wake_.notify();
    RunDriver* driver = state.driver_of(run);
    if (driver != nullptr && status == model::RunStatus::cancelling) driver->cancel_requested();
  });
}

RunDriver* Worker::State::driver_of(const model::RunId& run) {
  for (auto& driver : drivers_) {
    if (driver.run_id() == run) return &driver;
  }
  return nullptr;
}

void Worker::State::policies_changed() {
  for (auto& driver : drivers_) driver.policies_changed();
}

void Worker::State::stop() {
  if (!context_.stopping) context_.finish_until = base::after(finish_grace);
  context_.stopping = true;
  if (layers_) layers_->stop();
  for (auto& driver : drivers_) driver.stop();
  wake_.notify();
}

base::Task<void> Worker::State::run() {
  context_.needs.store.add_listener(this);
  std::exception_ptr broken;
  try {
    co_await work();
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted) broken = std::current_exception();
  } catch (const std::exception&) {
    broken = std::current_exception();
  }
  // Also when this task was cancelled, what it started is waited for.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  stop();
  context_.needs.store.remove_listener(this);
  while (!drivers_.empty())
    co_await wake_.wait_until(base::SteadyClock::now() + std::chrono::seconds(1));
  co_await scope_.cancel_and_join();
  if (broken) std::rethrow_exception(broken);
}

base::Task<void> Worker::State::work() {
  context_.all_wait = [this] {
    return std::all_of(drivers_.begin(), drivers_.end(), [](const RunDriver& driver) {
      return !driver.holds_allowance() || driver.waits_for_allowance();
    });
  };
  context_.cassettes = &cassettes_;
  co_await open_folders();
  co_await open_layers();
  co_await adopt_all();
  scope_.spawn(keep_leases());
  scope_.spawn(reclaimer_.run());
  while (!context_.stopping) {
    work_due_ = false;
    co_await settle_cancelled();
    co_await take_queued();
    const auto look_again = disk_is_low_ ? base::after(look_at_disk_again) : base::Deadline::max();
    while (!work_due_ && !context_.stopping && !base::passed(look_again)) co_await wake_.wait_until(look_again);
  }
}

base::Task<void> Worker::State::open_folders() {
  context_.attempts = context_.config.data_dir / "attempts";
  co_await pool_.run([this] {
    base::value_or_throw(base::make_directories(context_.attempts));
    attempts_dir_ = base::value_or_throw(base::open_directory(context_.attempts));
  });
  context_.attempts_dir = attempts_dir_.get();
  const auto swept =
      co_await pool_.run([this] { return context_.needs.launcher.sweep(context_.attempts_dir); });
  if (!swept) {
    base::log(base::LogLevel::warn, "leftovers of sandboxes could not be removed",
              {{"cause", swept.error().message}});
    co_return;
  }
  base::log(base::LogLevel::info, "swept",
            {{"cgroups", static_cast<long long>(swept->cgroups_removed)},
             {"processes", static_cast<long long>(swept->processes_killed)},
             {"live", swept->live.size()}});
}

// Without them each later turn is restored from its archive.
base::Task<void> Worker::State::open_layers() {
  auto opened = co_await pool_.run(
      [this] { return KeptLayers::open(context_.config.data_dir, context_.config.layers); });
  if (!opened) {
    base::log(base::LogLevel::warn, "no layers can be kept", {{"cause", opened.error().message}});
    co_return;
  }
  layers_ = std::move(*opened);
  context_.layers = layers_.get();
  context_.released = [this] { reclaimer_.wake(); };
}

// Each run is driven by its newest attempt; what is left of older ones is only removed.
base::Task<void> Worker::State::adopt_all() {
  const auto open =
      co_await context_.needs.store.read([](store::Reader& reader) { return reader.open_attempts(); });
  std::map<model::RunId, store::Attempt> newest;
  std::vector<store::Attempt> older;
  for (const auto& attempt : open) {
    auto [place, added] = newest.try_emplace(attempt.run_id, attempt);
    if (added) continue;
    const bool newer = attempt.number > place->second.number;
    older.push_back(newer ? std::exchange(place->second, attempt) : attempt);
  }
  co_await retire_older(std::move(older));
  for (const auto& [run, attempt] : newest) {
    auto claim = co_await context_.needs.store.write([this, &attempt](store::Transaction& tx) {
      return runs::take_over(tx, attempt.id, context_.lease(), runs::TakeOver::holder_is_gone,
                             context_.now());
    });
    if (!claim) {
      base::log(base::LogLevel::warn, "an attempt could not be taken over",
                {{"cause", claim.error().message}});
      continue;
    }
    start(std::move(*claim), RunDriver::Origin::adopted);
  }
}

base::Task<void> Worker::State::retire_older(std::vector<store::Attempt> older) {
  for (const auto& attempt : older) {
    const sandbox::AttemptRef place{context_.attempts_dir, attempt.id.str()};
    const auto released = co_await pool_.run([this, &place, &attempt]() -> base::Result<void> {
      if (auto folder = AttemptFolder::open(context_.attempts, attempt.id)) {
        AGENTROUTER_TRY(const auto life, keeper::settle_keeper_life(folder->fd()));
        if (life == keeper::KeeperLife::alive) return base::fail(base::Code::conflict, "its keeper lives");
      }
      return sandbox::release_whole(context_.needs.launcher, place, sandbox::Remove::all);
    });
    if (!released) {
      base::log(base::LogLevel::warn, "an old attempt could not be removed",
                {{"attemptId", attempt.id.str()}, {"cause", released.error().message}});
      continue;
    }
    auto retired = co_await context_.needs.store.write([&attempt](store::Transaction& tx) {
      return runs::retire_attempt(tx, {attempt.id, attempt.token});
    });
    (void)retired;
    if (layers_) layers_->done(attempt.id);
  }
}

// Said once each time it changes.
bool Worker::State::has_disk() {
  struct statvfs system{};
  const auto reserve = context_.config.limits.disk_reserve_bytes;
  if (reserve == 0 || ::fstatvfs(context_.attempts_dir, &system) != 0) return true;
  const auto free = static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize;
  const bool was_low = std::exchange(disk_is_low_, free < reserve);
  if (was_low != disk_is_low_) {
    base::log(base::LogLevel::warn,
              disk_is_low_ ? "runs stay queued: the disk of the data folder is nearly full"
                           : "the disk of the data folder has room again",
              {{"freeBytes", static_cast<long long>(free)}, {"reserveBytes", static_cast<long long>(reserve)}});
  }
  return !disk_is_low_;
}

base::Task<void> Worker::State::take_queued() {
  while (!context_.stopping && static_cast<int>(drivers_.size()) < context_.config.concurrency && has_disk()) {
    auto claim = co_await context_.needs.store.write(
        [this](store::Transaction& tx) { return runs::claim_run(tx, context_.lease(), context_.now()); });
    if (!claim) co_return;
    start(std::move(*claim), RunDriver::Origin::claimed);
  }
}

base::Task<void> Worker::State::settle_cancelled() {
  const auto left = co_await context_.needs.store.read(
      [](store::Reader& reader) { return reader.cancelling_runs_without_attempt(); });
  for (const auto& run : left) {
    auto settled = co_await context_.needs.store.write([this, &run](store::Transaction& tx) {
      return runs::settle_cancelled(tx, run, context_.now(), context_.config.conversations);
    });
    (void)settled;
  }
}

void Worker::State::start(runs::Claim claim, RunDriver::Origin origin) {
  scope_.spawn(drive(drivers_.emplace(drivers_.end(), context_, std::move(claim), origin)));
  leases_wake_.notify();
}

base::Task<void> Worker::State::drive(std::list<RunDriver>::iterator driver) {
  co_await driver->run();
  drivers_.erase(driver);
  // Who waits for more may be waiting for nobody but others who wait, from now on.
  for (auto& other : drivers_) other.budgets_changed();
  work_due_ = true;
  wake_.notify();
}

base::Task<void> Worker::State::keep_leases() {
  for (;;) {
    while (drivers_.empty()) co_await leases_wake_.wait();
    co_await base::sleep_for(context_.config.lease / 3);
    std::vector<runs::Fence> fences;
    for (const auto& driver : drivers_) fences.push_back(driver.fence());
    try {
      co_await context_.needs.store.write([this, &fences](store::Transaction& tx) {
        // A driver whose lease is lost learns of it at its next write.
        for (const auto& fence : fences)
          (void)runs::renew_lease(tx, fence, context_.config.lease, context_.now());
      });
    } catch (const base::Failure& failure) {
      base::log(base::LogLevel::warn, "leases could not be renewed", {{"cause", failure.error().message}});
    }
  }
}

Worker::Worker(Needs needs, WorkerConfig config)
    : state_(std::make_unique<State>(std::move(needs), std::move(config))) {}

Worker::~Worker() = default;

base::Task<void> Worker::run() {
  co_await state_->run();
}

void Worker::policies_changed() {
  state_->policies_changed();
}

void Worker::stop() {
  state_->stop();
}

}  // namespace agentrouter::worker
