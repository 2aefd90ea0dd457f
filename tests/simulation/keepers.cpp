#include "keepers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <cerrno>
#include <filesystem>

#include "base/pool.h"
#include "keeper/attempt_lock.h"

namespace agentrouter::simulation {

using namespace std::chrono_literals;

struct Keepers::Keeper {
  std::string attempt;
  pid_t pid = -1;
  std::shared_ptr<Process> process;
  Process* launcher = nullptr;
  base::Fd folder, lock, plan_stream;
  std::string plan_text;
  std::optional<keeper::ReceivedPlan> received;
  keeper::ControlServer* control = nullptr;  // while it serves
};

base::Result<sandbox::Launched> Keepers::launch(const sandbox::LaunchRequest& request) {
  auto& random = needs_.loop.random;
  if (launch_fails_once_in != 0 && random.once_in(launch_fails_once_in))
    return base::fail(base::Code::unavailable, "cannot make the sandbox", "sandbox_unavailable");
  auto keeper = std::make_shared<Keeper>();
  keeper->attempt = request.attempt.id;
  keeper->pid = ++next_pid_;
  if (stillborn_once_in != 0 && random.once_in(stillborn_once_in))
    return sandbox::Launched{base::Fd(), keeper->pid, sandbox::LimitsMode::rlimit};
  keeper->folder = base::Fd(
      ::openat(request.attempt.attempts, request.attempt.id.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!keeper->folder) return base::fail_errno("cannot open the attempt's folder", errno);
  keeper->plan_stream = base::Fd(::fcntl(request.plan_pipe, F_DUPFD_CLOEXEC, 0));
  keeper->launcher = needs_.loop.running();
  keeper->process = needs_.loop.start("keeper " + std::to_string(keeper->pid));
  living_[keeper->attempt] = keeper;
  const auto pid = keeper->pid;
  needs_.loop.after(Duration(1ms), keeper->process, "keeper starts", [this, keeper] { begin(keeper); });
  return sandbox::Launched{base::Fd(), pid, sandbox::LimitsMode::rlimit};
}

base::Result<void> Keepers::release(const sandbox::AttemptRef& attempt, sandbox::Remove what) {
  const base::Fd folder(::openat(attempt.attempts, attempt.id.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return {};
  auto lock = keeper::take_attempt_lock(folder.get());
  if (!lock && lock.error().code == base::Code::conflict)
    return base::fail(base::Code::conflict, "its keeper lives");
  if (what != sandbox::Remove::groups) std::filesystem::remove_all(needs_.attempts + "/" + attempt.id);
  return {};
}

base::Result<sandbox::SweepReport> Keepers::sweep(int) {
  return sandbox::SweepReport{};
}

void Keepers::begin(const std::shared_ptr<Keeper>& keeper) {
  auto lock = keeper::take_attempt_lock(keeper->folder.get());
  if (!lock) return end(keeper);
  keeper->lock = std::move(*lock);
  read_plan(keeper);
}

void Keepers::read_plan(const std::shared_ptr<Keeper>& keeper) {
  char bytes[16384];
  for (;;) {
    const auto got = ::recv(keeper->plan_stream.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) {
      keeper->plan_text.append(bytes, static_cast<std::size_t>(got));
      continue;
    }
    // A launcher that was killed has closed its end.
    const bool waits = got < 0 && errno == EAGAIN && keeper->launcher->alive;
    if (!waits) break;
    return needs_.loop.after(Duration(2ms), keeper->process, "plan", [this, keeper] { read_plan(keeper); });
  }
  const base::Fd file(::memfd_create("plan", MFD_CLOEXEC));
  if (!base::write_all(file.get(), keeper->plan_text)) return end(keeper);
  ::lseek(file.get(), 0, SEEK_SET);
  auto received = keeper::receive_plan(file.get());
  if (!received) return end(keeper);
  keeper->received.emplace(std::move(*received));
  serve(keeper);
}

void Keepers::serve(const std::shared_ptr<Keeper>& keeper) {
  asio::co_spawn(keeper->process->executor(), keep(keeper), [this, keeper](std::exception_ptr) {
    needs_.loop.after(Duration(0), "keeper ends", [this, keeper] { end(keeper); });
  });
}

base::Task<void> Keepers::keep(std::shared_ptr<Keeper> keeper) {
  const auto& plan = keeper->received->plan;
  const auto& clock = needs_.loop.wall();
  const auto folder = needs_.attempts + "/" + keeper->attempt;
  Random random = needs_.loop.random.part();
  auto file = needs_.journals.create(keeper->attempt, folder + "/journal");
  if (!file) co_return;
  auto journal = keeper::Journal::create(std::move(file), clock);
  if (!journal) co_return;
  needs_.witness.journal_made(plan.run_id.str(), keeper->attempt);
  const base::Redactor redactor;
  keeper::Recorder recorder(std::move(*journal), clock, random, redactor, model::EventSource::codex);
  recorder.durable("hello", {{"protocol", keeper::journal_protocol},
                             {"attemptId", plan.attempt_id.str()},
                             {"runId", plan.run_id.str()},
                             {"token", plan.token}});
  AgentModel agent({.executor = keeper->process->executor(),
                    .recorder = recorder,
                    .plan = plan,
                    .clock = clock,
                    .random = random.part(),
                    .witness = needs_.witness,
                    .folder = folder});
  keeper::ControlServer control(
      keeper->process->executor(),
      {.attempt_id = plan.attempt_id.str(), .run_id = plan.run_id.str(), .token = plan.token}, agent);
  control.set_length(recorder.length());
  keeper->control = &control;
  // As the keeper's own: short batches, off the loop.
  base::Pool pool(1);
  bool dirty = false;
  const auto sync = [&]() -> base::Task<void> {
    for (;;) {
      co_await base::sleep_for(100ms);
      if (std::exchange(dirty, false)) (void)co_await pool.run([&recorder] { return recorder.file().sync().has_value(); });
    }
  };
  recorder.on_length([&](std::uint64_t length) {
    control.set_length(length);
    dirty = true;
  });
  base::TaskScope background(keeper->process->executor());
  background.spawn(sync());
  (void)base::write_all(keeper->plan_stream.get(), "ready\n");
  keeper->plan_stream.reset();
  needs_.loop.touch(*keeper->launcher);

  if (co_await agent.run()) {
    control.say_bye();
    co_await agent.wait_for_done(10min);
  }
  recorder.on_length({});
  keeper->control = nullptr;
  co_await background.cancel_and_join();
  co_await control.stop();
}

base::Result<std::unique_ptr<keeper::Lines>> Keepers::connect(int attempt_dir) {
  std::error_code none;
  const auto folder = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(attempt_dir), none);
  const auto found = living_.find(folder.filename().string());
  if (found == living_.end() || found->second->control == nullptr)
    return base::fail(base::Code::unavailable, "cannot reach the keeper: nobody listens");
  const auto& keeper = found->second;
  std::shared_ptr<Process> caller = needs_.loop.shared(*needs_.loop.running());
  auto ends = needs_.network.connect(caller, keeper->process, keeper->pid);
  // It is accepted a moment later.
  const auto second = std::make_shared<std::unique_ptr<keeper::Lines>>(std::move(ends.second));
  needs_.loop.after(Duration(100us), keeper->process, "connection", [keeper, second] {
    if (keeper->control != nullptr) keeper->control->serve(std::move(*second));
    else (*second)->close();
  });
  return std::move(ends.first);
}

void Keepers::end(const std::shared_ptr<Keeper>& keeper) {
  const auto found = living_.find(keeper->attempt);
  if (found == living_.end() || found->second != keeper) return;
  auto* const launcher = keeper->launcher;
  needs_.network.died(*keeper->process);
  needs_.loop.kill(*keeper->process);
  // What the kernel closes.
  keeper->lock.reset();
  keeper->folder.reset();
  keeper->plan_stream.reset();
  keeper->control = nullptr;
  if (launcher->alive) needs_.loop.touch(*launcher);
  living_.erase(found);
}

std::shared_ptr<Keepers::Keeper> Keepers::any() {
  if (living_.empty()) return nullptr;
  auto chosen = living_.begin();
  std::advance(chosen, static_cast<std::ptrdiff_t>(needs_.loop.random.below(living_.size())));
  return chosen->second;
}

void Keepers::kill(pid_t pid) {
  for (const auto& [attempt, keeper] : living_) {
    if (keeper->pid != pid) continue;
    const auto kept = keeper;
    return needs_.loop.after(Duration(0), "keeper is killed", [this, kept] { end(kept); });
  }
}

bool Keepers::kill_one() {
  const auto keeper = any();
  if (keeper) end(keeper);
  return keeper != nullptr;
}

bool Keepers::pause_one(Duration time) {
  const auto keeper = any();
  if (!keeper) return false;
  needs_.loop.pause(*keeper->process);
  needs_.loop.after(time, "keeper goes on", [this, keeper] {
    if (keeper->process->alive) needs_.loop.go_on(*keeper->process);
  });
  return true;
}

void Keepers::kill_all() {
  while (kill_one()) {
  }
}

}  // namespace agentrouter::simulation
