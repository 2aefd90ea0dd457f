#include "worker/worker.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "runs/cancel.h"
#include "worker/worker_state.h"

namespace agentrouter::worker {
namespace {

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
      // A workspace that had as many as it may has room.
      if (state.context_.config.claim.max_active_of_workspace > 0) {
        state.work_due_ = true;
        state.wake_.notify();
      }
      for (auto& driver : state.drivers_) driver.budgets_changed();
    });
  }
  if (status == model::RunStatus::starting) return post([run](State& state) { state.note_stranger(run); });
  if (status != model::RunStatus::queued && status != model::RunStatus::cancelling) return;
  post([run, status](State& state) {
    state.work_due_ = true;
    state.wake_.notify();
    RunDriver* driver = state.driver_of(run);
    if (driver != nullptr && status == model::RunStatus::cancelling) driver->cancel_requested();
  });
}

// It may have been anything: all is looked at that is decided by what listeners are told.
void Worker::State::missed() {
  post([](State& state) {
    state.work_due_ = state.look_due_ = state.own_look_due_ = true;
    state.reclaimer_.wake();
    for (auto& driver : state.drivers_) {
      driver.decision_made();
      driver.budgets_changed();
    }
    state.wake_.notify();
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
  if (gone_) gone_->stop();
  for (auto& driver : drivers_) driver.stop();
  wake_.notify();
  idle_.notify();
}

void Worker::State::drain(bool draining) {
  draining_ = draining;
  work_due_ = true;
  look_due_ = true;
  wake_.notify();
}

base::Task<void> Worker::State::idle() {
  while (!drivers_.empty() && !context_.stopping) co_await idle_.wait();
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
  while (!drivers_.empty()) co_await wake_.wait_until(base::SteadyClock::now() + std::chrono::seconds(1));
  co_await scope_.cancel_and_join();
  if (broken) std::rethrow_exception(broken);
}

base::Task<void> Worker::State::work() {
  context_.all_wait = [this] {
    return std::all_of(drivers_.begin(), drivers_.end(), [](const RunDriver& driver) {
      return !driver.holds_allowance() || driver.waits_for_allowance();
    });
  };
  context_.waits_changed = [this] {
    work_due_ = true;
    wake_.notify();
  };
  context_.cassettes = &cassettes_;
  co_await open_folders();
  co_await open_layers();
  co_await open_gone();
  while (!co_await stored(adopt_all())) co_await rest();
  scope_.spawn(keep_leases());
  scope_.spawn(reclaimer_.run());
  scope_.spawn(remove_gone());
  while (!context_.stopping) {
    work_due_ = false;
    const bool heard = co_await stored(look_at_own());
    const bool settled = heard && co_await stored(settle_cancelled());
    const bool taken = settled && co_await stored(take_queued());
    const bool looked = taken && co_await stored(look_after_others());
    const auto disk = disk_is_low_ || !looked ? base::after(look_at_disk_again) : base::Deadline::max();
    const auto look_again = std::min(disk, next_look());
    while (!work_due_ && !context_.stopping && (store_is_away_ || !is_look_due()) &&
           !base::passed(look_again))
      co_await wake_.wait_until(look_again);
  }
}

// False when the store is away: its disk is full or refuses, and comes back.
base::Task<bool> Worker::State::stored(base::Task<void> work) {
  try {
    co_await std::move(work);
  } catch (const base::Failure& failure) {
    if (failure.error().code != base::Code::unavailable || context_.stopping) throw;
    watch_.begin_anew(base::SteadyClock::now());
    if (!std::exchange(store_is_away_, true)) {
      base::log(base::LogLevel::warn, "the store is away: runs are taken later",
                {{"cause", failure.error().message}});
    }
    co_return false;
  }
  if (std::exchange(store_is_away_, false)) base::log(base::LogLevel::info, "the store is back", {});
  co_return true;
}

base::Task<void> Worker::State::rest() {
  const auto deadline = base::after(look_at_disk_again);
  while (!context_.stopping && !base::passed(deadline)) co_await wake_.wait_until(deadline);
  if (context_.stopping) base::throw_failure(base::Code::cancelled, "the worker is stopping");
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
}

// Without it a run ends when its files are removed.
base::Task<void> Worker::State::open_gone() {
  context_.removal_due = [this] {
    removal_due_ = true;
    removal_wake_.notify();
  };
  context_.released = [this] {
    context_.removal_due();
    reclaimer_.wake();
  };
  auto opened = co_await pool_.run([this] { return GoneTrees::open(context_.config.data_dir); });
  if (!opened) {
    base::log(base::LogLevel::warn, "runs wait for the removal of their files",
              {{"cause", opened.error().message}});
    co_return;
  }
  gone_ = std::move(*opened);
  context_.gone = gone_.get();
}

// Nothing else waits for it, and it has a thread of its own.
base::Task<void> Worker::State::remove_gone() {
  for (;;) {
    while (!removal_due_) co_await removal_wake_.wait();
    removal_due_ = false;
    co_await removal_pool_.run([this] {
      if (gone_) gone_->clear();
      if (layers_) layers_->trim();
    });
  }
}

// Said once each time it changes.
bool Worker::State::has_disk() {
  struct statvfs system{};
  const auto& limits = context_.config.limits;
  if (::fstatvfs(context_.attempts_dir, &system) != 0) return true;
  const auto free = static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize;
  const auto reserve = limits.disk_reserve_bytes;
  const std::uint64_t free_inodes = system.f_favail;
  // 0 where the file system has no number of them.
  const std::uint64_t reserve_inodes = system.f_files / 100 * limits.disk_reserve_inode_percent;
  const bool was_low = std::exchange(disk_is_low_, free < reserve || free_inodes < reserve_inodes);
  if (was_low != disk_is_low_) {
    base::log(base::LogLevel::warn,
              disk_is_low_ ? "runs stay queued: the disk of the data folder is nearly full"
                           : "the disk of the data folder has room again",
              {{"freeBytes", static_cast<long long>(free)},
               {"reserveBytes", static_cast<long long>(reserve)},
               {"freeInodes", static_cast<long long>(free_inodes)},
               {"reserveInodes", static_cast<long long>(reserve_inodes)}});
  }
  return !disk_is_low_;
}

// A run that waits lends its slot to another.
bool Worker::State::has_slot() const {
  const auto waiting = static_cast<int>(
      std::count_if(drivers_.begin(), drivers_.end(), [](const auto& one) { return one.waits(); }));
  const int taken = static_cast<int>(drivers_.size()) - std::min(waiting, context_.config.max_waiting);
  return taken < context_.config.concurrency;
}

base::Task<void> Worker::State::take_queued() {
  while (!context_.stopping && !draining_ && has_slot() && has_disk()) {
    auto claim = co_await context_.needs.store.write([this](store::Transaction& tx) {
      return runs::claim_run(tx, context_.lease(), context_.now(), context_.config.claim);
    });
    if (!claim) co_return;
    context_.config.on_claim(claim->run.started_at.value_or(claim->run.queued_at) - claim->run.queued_at);
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

base::Task<void> Worker::State::look_at_own() {
  if (!std::exchange(own_look_due_, false)) co_return;
  std::vector<model::RunId> own, cancelling;
  for (const auto& driver : drivers_) own.push_back(driver.run_id());
  try {
    cancelling = co_await context_.needs.store.read([&own](store::Reader& reader) {
      std::vector<model::RunId> runs;
      for (const auto& id : own) {
        const auto run = reader.run(id);
        if (run && run->status == model::RunStatus::cancelling) runs.push_back(id);
      }
      return runs;
    });
  } catch (const base::Failure&) {
    own_look_due_ = true;
    throw;
  }
  for (const auto& id : cancelling) {
    if (RunDriver* driver = driver_of(id)) driver->cancel_requested();
  }
}

void Worker::State::start(runs::Claim claim, RunDriver::Origin origin) {
  scope_.spawn(drive(drivers_.emplace(drivers_.end(), context_, std::move(claim), origin)));
  leases_wake_.notify();
}

base::Task<void> Worker::State::drive(std::list<RunDriver>::iterator driver) {
  co_await driver->run();
  if (driver->has_lost_lease()) {
    look_due_ = true;
    if (context_.is_here(driver->attempt())) {
      lost_.insert(driver->attempt().id);
      tidy_due_ = base::after(context_.config.lease);
    }
  }
  drivers_.erase(driver);
  if (drivers_.empty()) idle_.notify();
  // Who waits for more may be waiting for nobody but others who wait, from now on.
  for (auto& other : drivers_) other.budgets_changed();
  work_due_ = true;
  wake_.notify();
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

void Worker::drain(bool draining) {
  state_->drain(draining);
}

int Worker::active() const {
  return state_->active();
}

base::Task<void> Worker::idle() {
  co_await state_->idle();
}

void Worker::duties_changed() {
  state_->duties_changed();
}

}  // namespace agentrouter::worker
