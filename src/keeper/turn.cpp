#include "keeper/turn.h"

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <csignal>

namespace agentrouter::keeper {
namespace {

using namespace std::chrono_literals;

// How long an agent may take to leave after its stdin was closed, and stdout to end after everything was
// killed.
constexpr auto leave_time = 2s;

base::Deadline now() {
  return base::SteadyClock::now();
}

std::vector<std::string> argv_of(const AttemptPlan& plan) {
  auto argv = plan.program.argv;
  if (plan.resume_thread.empty() || plan.program.resume_argv.empty()) return argv;
  argv.insert(argv.end(), plan.program.resume_argv.begin(), plan.program.resume_argv.end());
  argv.push_back(plan.resume_thread);
  return argv;
}

}  // namespace

Turn::Turn(Needs needs)
    : needs_(std::move(needs)),
      thread_id_(needs_.plan.resume_thread),
      stderr_lines_(needs_.stderr_log),
      stdout_growth_(needs_.stdout_log),
      stderr_growth_(needs_.stderr_log),
      stdin_(needs_.executor),
      stdout_(needs_.executor),
      stderr_(needs_.executor),
      wake_(needs_.executor),
      writing_(needs_.executor),
      scope_(needs_.executor) {}

Turn::~Turn() = default;

base::Task<TurnEnd> Turn::run() {
  began_ = now();
  wall_deadline_ = began_ + needs_.plan.limits.wall_time;
  quiet_since_ = now();
  if (start()) {
    scope_.spawn(guarded(read_stdout()));
    scope_.spawn(guarded(read_stderr()));
    scope_.spawn(guarded(write_stdin()));
    scope_.spawn(guarded(relay_notices()));
    co_await guarded(supervise());
    end_.held = held();
    co_await end_process();
  }
  end_actions();
  close_calls();
  const bool done = end_.outcome && end_.outcome->kind == agents::OutcomeKind::completed;
  const bool decided = needs_.progress.failure().has_value();
  if (given_up_ && !end_.failure && !end_.cancelled && (stopped_ || decided || !done)) end_.failure = std::move(*given_up_);
  if (redirected_ && !end_.failure && !end_.cancelled && !done) end_.redirected = std::move(redirected_);
  co_return std::move(end_);
}

bool Turn::start() {
  auto in = base::make_pipe();
  auto out = base::make_pipe();
  auto err = base::make_pipe();
  if (!in || !out || !err) {
    fail("worker_failed", "cannot make the agent's pipes");
    return false;
  }
  kills_before_ = memory_kills();
  recent_kills_.begin(now(), needs_.sandbox.memory().kills);
  const auto pid = needs_.sandbox.spawn({.argv = argv_of(needs_.plan),
                                         .env = needs_.plan.program.env,
                                         .stdio = {in->first.get(), out->second.get(), err->second.get()}});
  if (!pid) {
    fail(pid.error().code == base::Code::not_found ? "agent_missing" : "worker_failed",
         "cannot start the agent: " + pid.error().message);
    return false;
  }
  pid_ = *pid;
  stdin_.assign(in->second.release());
  stdout_.assign(out->first.release());
  stderr_.assign(err->first.release());
  return true;
}

base::Task<void> Turn::guarded(base::Task<void> task) {
  try {
    co_await std::move(task);
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted) fail("worker_failed", error.what());
  } catch (const std::exception& error) {
    fail("worker_failed", error.what());
  }
}

base::Task<void> Turn::supervise() {
  handle(needs_.session.start());
  for (;;) {
    if (over()) co_return;
    if (needs_.notices.disk_stop()) {
      co_await settle_disk();
      co_return;
    }
    if (needs_.notices.exited(pid_) != nullptr || needs_.notices.gone()) {
      co_await settle_exit();
      co_return;
    }
    if ((end_.cancelled || given_up_ || redirected_) && !interrupted_) {
      interrupted_ = true;
      handle(needs_.session.interrupt());
      continue;
    }
    if (!check_limits()) co_return;
    recent_kills_.look(now(), needs_.sandbox.memory().kills);
    co_await wake_.wait_until(next_deadline());
  }
}

// The agent has left by itself: what it said before is still to be read.
base::Task<void> Turn::settle_exit() {
  (void)needs_.sandbox.kill_all();
  needs_.notices.poll();
  see_disk();
  const auto limit = now() + leave_time;
  while (!stdout_ended_ && !over() && now() < limit) co_await wake_.wait_until(limit);
  const sandbox::Exited* exited = needs_.notices.exited(pid_);
  if (exited != nullptr && was_out_of_memory(*exited)) {
    fail("memory_limit", "The agent used more memory than it may");
  }
  const std::string status = exited != nullptr ? status_text(*exited) : "sandbox gone";
  if (!end_.outcome) handle(needs_.session.ended(status));
  if (!over()) fail("agent_exited", "The agent ended before its turn did: " + status);
}

// Init is killing everything inside, and counts what is left when that is done.
base::Task<void> Turn::settle_disk() {
  const auto limit = now() + std::chrono::seconds(10);
  while (!needs_.notices.disk_stop()->settled && !needs_.notices.gone() && now() < limit)
    co_await wake_.wait_until(limit);
  see_disk();
}

void Turn::see_disk() {
  const auto& stop = needs_.notices.disk_stop();
  if (stop && !end_.failure && !end_.cancelled) abort(record_disk_stop(needs_.recorder, *stop));
}

std::uint64_t Turn::memory_kills() const {
  return needs_.sandbox.memory().kills + needs_.notices.memory_kills();
}

void Turn::see_memory() {
  memory_look_ = now() + 100ms;
  kills_.see(needs_.recorder, memory_kills() - kills_before_);
}

// False when the turn is over because of a limit.
bool Turn::check_limits() {
  if (now() >= grace_deadline_) return false;
  if (waiting_since_) return true;
  if (now() >= wall_deadline_) {
    fail("wall_limit", "The run took longer than it may");
    return false;
  }
  return check_silence();
}

base::Deadline Turn::next_deadline() const {
  if (waiting_since_) return std::min(grace_deadline_, recent_kills_.next_look());
  const auto silence = std::chrono::seconds(needs_.progress.signals().rules().after(policy::Signal::long_silence));
  const base::Deadline quiet = quiet_since_ + needs_.plan.limits.quiet;
  const auto next = silence_told_ ? quiet : std::min<base::Deadline>(quiet, quiet_since_ + silence);
  return std::min({wall_deadline_, next, grace_deadline_, recent_kills_.next_look()});
}

base::Task<void> Turn::end_process() {
  close_stdin_ = true;
  writing_.notify();
  // An agent whose turn is over leaves by itself; then its exit code is known.
  const auto limit = now() + (end_.failure || end_.cancelled ? 0s : leave_time);
  while (needs_.notices.exited(pid_) == nullptr && !needs_.notices.gone() && now() < limit) {
    co_await wake_.wait_until(limit);
  }
  const auto killed = needs_.sandbox.kill_all();
  if (!killed && !needs_.notices.gone())
    fail("worker_failed", "cannot stop the agent: " + killed.error().message);
  needs_.notices.poll();
  if (const auto* exited = needs_.notices.exited(pid_)) end_.exited = *exited;
  co_await scope_.cancel_and_join();
  try {
    stderr_lines_.end();
    see_disk();
    see_memory();
  } catch (const base::Failure& failure) {
    fail_with(failure.error());
  }
}

// Init says whom it has killed, groups only how many.
bool Turn::was_out_of_memory(const sandbox::Exited& exited) const {
  if (needs_.notices.killed_for_memory(pid_)) return true;
  return exited.signal == SIGKILL && recent_kills_.are_more(needs_.sandbox.memory().kills);
}

void Turn::cancel() {
  if (over() || std::exchange(end_.cancelled, true)) return;
  // One that is frozen cannot be told.
  grace_deadline_ = now() + (disk_is_full_ ? 0ms : needs_.plan.limits.cancel_grace);
  wake_.notify();
}

void Turn::give_up(model::RunFailure failure) {
  if (over() || end_.cancelled || given_up_ || calls_.count() != 0) return;
  given_up_ = std::move(failure);
  grace_deadline_ = now() + needs_.plan.limits.cancel_grace;
  wake_.notify();
}

void Turn::stop(model::RunFailure failure) {
  if (over() || end_.cancelled || stopped_) return;
  stopped_ = true;
  if (!given_up_) grace_deadline_ = now() + needs_.plan.limits.cancel_grace;
  given_up_ = std::move(failure);
  wake_.notify();
}

std::chrono::milliseconds Turn::taken() const {
  auto waited = end_.waited;
  if (waiting_since_) waited += std::chrono::duration_cast<std::chrono::milliseconds>(now() - *waiting_since_);
  return std::chrono::duration_cast<std::chrono::milliseconds>(now() - began_) - waited;
}

void Turn::touch() {
  quiet_since_ = now();
  silence_told_ = false;
}

void Turn::fail(std::string_view code, std::string reason) {
  abort(model::RunFailure{std::string(code), std::move(reason), {}});
}

void Turn::fail_with(const base::Error& error) {
  fail(error.reason == "storage_full" ? "storage_full" : "worker_failed", error.message);
}

void Turn::abort(model::RunFailure failure) {
  if (!end_.failure) end_.failure = std::move(failure);
  wake_.notify();
  writing_.notify();
}

}  // namespace agentrouter::keeper
