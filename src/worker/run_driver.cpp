#include "worker/run_driver.h"

#include <algorithm>

#include "base/log.h"
#include "worker/git_fetch.h"

namespace agentrouter::worker {

using namespace std::chrono_literals;

namespace {

constexpr int repairs_at_most = 3;

bool lost_to_another(const base::Error& error) {
  return error.reason == "lease_lost" || error.reason == "attempt_not_found" ||
         error.reason == "attempt_closed";
}

bool is_full(const base::Error& error) {
  return error.code == base::Code::exhausted || error.reason == "storage_full";
}

}  // namespace

RunDriver::RunDriver(DriverContext& context, runs::Claim claim, Origin origin)
    : context_(context),
      claim_(std::move(claim)),
      fresh_(origin == Origin::claimed),
      wake_(context.needs.executor),
      staging_(context.needs.executor),
      link_scope_(context.needs.executor) {
  hold_until(base::SteadyClock::now());
  if (claim_.run.status == model::RunStatus::cancelling) note_cancel();
}

RunDriver::~RunDriver() = default;

base::Task<void> RunDriver::run() {
  int repairs = 0, failed = 0;
  for (;;) {
    std::optional<base::Error> trouble;
    try {
      const Next next = co_await step();
      if (next == Next::ended) break;
      failed = 0;
      continue;
    } catch (const base::Failure& failure) {
      trouble = failure.error();
    } catch (const std::exception& error) {
      trouble = base::Error{base::Code::internal, error.what()};
    }
    lost_ = lost_ || lost_to_another(*trouble);
    co_await drop_link();
    if (lost_) {
      base::log(base::LogLevel::warn, "a run is left to another worker",
                {{"runId", claim_.run.id.str()}, {"attemptId", claim_.attempt.id.str()}});
    }
    if (context_.stopping || lost_) break;
    base::log(base::LogLevel::warn, "a step of a run did not work",
              {{"runId", claim_.run.id.str()}, {"cause", trouble->message}});
    ++failed;
    if (closing_tries_ > 0 && is_full(*trouble)) co_await drop_box();
    // A store or disk that is away comes back; anything else will not get better.
    if (trouble->code != base::Code::unavailable && ++repairs >= repairs_at_most) {
      broken_ = model::RunFailure{"worker_failed", trouble->message, {}};
    }
    const bool follows = trouble->code == base::Code::unavailable && !fresh_;
    co_await rest(rest_after(trouble->code, follows ? closing_tries_ : failed));
  }
  co_await drop_link();
}

base::Deadline deadline_of(base::Time time, const base::Clock& clock) {
  constexpr auto longest = std::chrono::minutes(1);  // then it is looked at again: the clock may have been set
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::min<base::Time::duration>(time - clock.now(), longest));
  // Rounded up: at the deadline the time is over.
  return base::SteadyClock::now() + std::max(left + 1ms, std::chrono::milliseconds(0));
}

std::chrono::milliseconds rest_after(base::Code trouble, int failed) {
  const bool is_outage = trouble == base::Code::unavailable;
  const auto first = is_outage ? 1000ms : 100ms;
  return first * (1 << std::clamp(failed - 1, 0, is_outage ? 4 : 7));
}

void RunDriver::stop() {
  if (hurry_) hurry_();
  if (fetch_ != nullptr) fetch_->stop();
  stop_unpacking();
  wake_.notify();
}

// Of a tree that another machine has kept.
void RunDriver::stop_unpacking() {
  if (context_.needs.shared_trees != nullptr && context_.needs.unpacker != nullptr)
    context_.needs.unpacker->cancel(claim_.attempt.id.str());
}

void RunDriver::check_stopping() const {
  check_lease();
  if (context_.stopping) base::throw_failure(base::Code::cancelled, "the worker is stopping");
}

void RunDriver::check_time() const {
  check_lease();
  if (context_.out_of_time()) check_stopping();
}

base::Task<void> RunDriver::pause(std::chrono::milliseconds time) {
  const auto deadline = base::SteadyClock::now() + time;
  while (!context_.out_of_time() && base::SteadyClock::now() < deadline)
    co_await wake_.wait_until(std::min<base::Deadline>(deadline, context_.finish_until));
}

// A cancel that comes meanwhile ends it.
base::Task<void> RunDriver::rest(std::chrono::milliseconds time) {
  const bool was_cancelled = cancel_due_;
  const auto deadline = base::SteadyClock::now() + time;
  while (!context_.out_of_time() && cancel_due_ == was_cancelled && base::SteadyClock::now() < deadline)
    co_await wake_.wait_until(std::min<base::Deadline>(deadline, context_.finish_until));
}

void RunDriver::note_cancel() {
  cancel_due_ = true;
  if (!cancel_deadline_) cancel_deadline_ = base::after(context_.config.cancel_patience);
}

void RunDriver::cancel_requested() {
  note_cancel();
  if (fetch_ != nullptr) fetch_->stop();
  stop_unpacking();
  if (stop_waiting_) stop_waiting_();
  wake_.notify();
}

void RunDriver::policies_changed() {
  policy_due_ = true;
  wake_.notify();
}

void RunDriver::decision_made() {
  decisions_due_ = true;
  wake_.notify();
}

void RunDriver::budgets_changed() {
  allowance_due_ = true;
  wake_.notify();
}

base::Task<void> RunDriver::refresh() {
  const auto fence = claim_.fence();
  auto fresh =
      co_await context_.needs.store.read([&fence](store::Reader& reader) -> base::Result<runs::Claim> {
        AGENTROUTER_TRY(store::Attempt attempt, runs::check_fence(reader, fence));
        auto run = reader.run(attempt.run_id);
        AGENTROUTER_CHECK(run.has_value());
        return runs::Claim{std::move(*run), std::move(attempt)};
      });
  claim_ = base::value_or_throw(std::move(fresh));
  if (claim_.run.status == model::RunStatus::cancelling) note_cancel();
}

base::Task<RunDriver::Next> RunDriver::step() {
  check_time();
  co_await refresh();
  if (model::is_terminal(claim_.run.status)) {
    co_await clean_up();
    co_return Next::ended;
  }
  if (!claim_.attempt.closing.empty()) {
    co_await archive();
    co_return Next::again;
  }
  check_stopping();
  co_return co_await step_unclosed();
}

base::Task<RunDriver::Next> RunDriver::step_unclosed() {
  if (!context_.is_here(claim_.attempt)) {
    co_await give_up_attempt();
    co_return Next::again;
  }
  if (broken_ || (fresh_ && cancel_due_)) {
    const model::RunFailure cancelled{"run_cancelled", "The run was cancelled", {}};
    model::RunFailure failure = broken_.value_or(cancelled);
    co_await fail(std::move(failure));
    co_return Next::again;
  }
  if (fresh_) {
    auto refused = co_await start();
    fresh_ = false;
    // Nothing has happened in an attempt whose launcher died: as without a keeper, there is another one.
    if (refused && refused->code != launcher_lost) co_await fail(std::move(*refused));
    co_return Next::again;
  }
  std::optional<ExitRecord> exit;
  if (co_await keeper_lives()) {
    exit = co_await follow();
  } else {
    co_await drop_link();
    exit = co_await read_rest();
    if (!exit) {
      co_await give_up_attempt();
      co_return Next::again;
    }
  }
  if (exit) {
    const std::string reason =
        exit->outcome == model::RunStatus::cancelled ? "cancelled" : exit->failure.code;
    co_await close(std::move(*exit), reason);
  }
  co_return Next::again;
}

base::Task<bool> RunDriver::keeper_lives() {
  if (!open_folder()) co_return false;
  const int folder = folder_->fd();
  auto life = co_await context_.pool.run([folder] { return keeper::settle_keeper_life(folder); });
  co_return base::value_or_throw(life) == keeper::KeeperLife::alive;
}

bool RunDriver::open_folder() {
  if (folder_) return true;
  auto folder = AttemptFolder::open(context_.attempts, claim_.attempt.id);
  if (!folder) {
    if (folder.error().code == base::Code::not_found) return false;
    throw base::Failure(std::move(folder).error());
  }
  folder_ = std::move(*folder);
  const std::string staging = "staging/" + claim_.run.id.str() + "/" + std::to_string(claim_.attempt.number);
  stdout_log_.emplace(context_.needs.blobs, *folder_, "stdout.ndjson", staging + "/stdout");
  stderr_log_.emplace(context_.needs.blobs, *folder_, "stderr.ndjson", staging + "/stderr");
  return true;
}

void RunDriver::close_folder() {
  journal_.reset();
  stdout_log_.reset();
  stderr_log_.reset();
  folder_.reset();
}

}  // namespace agentrouter::worker
