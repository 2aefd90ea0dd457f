#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>

#include "base/log.h"
#include "sandbox/doctor.h"
#include "sandbox/oci/guest.h"
#include "sandbox/remove_tree.h"
#include "sandbox/warm.h"

namespace agentrouter::sandbox {
namespace {

using base::Code;
using base::Error;
using base::Fd;
using base::Result;

constexpr std::string_view reason = "sandbox_unavailable";

tl::unexpected<Error> refuse(Error error) {
  if (error.reason.empty()) error.reason = reason;
  return tl::unexpected<Error>(std::move(error));
}

// A large tree is removed in pieces, between which others are launched.
constexpr RemoveBounds at_a_time{.time = std::chrono::milliseconds(20)};

// Whether somebody holds the attempt's lock, as a keeper does for life.
bool has_keeper(int attempt_dir) {
  Fd file(::openat(attempt_dir, "attempt.lock", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return false;
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return ::fcntl(file.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Result<void> remove_groups(const std::vector<std::string>& folders) {
  for (const auto& folder : folders) {
    if (auto removed = remove_cgroup(folder); !removed) return tl::unexpected(removed.error());
  }
  return {};
}

}  // namespace

std::string_view to_string(LimitsMode mode) {
  switch (mode) {
    case LimitsMode::rlimit:
      return "rlimit";
    case LimitsMode::cgroup1:
      return "cgroup1";
    case LimitsMode::cgroup2:
      return "cgroup2";
  }
  return "rlimit";
}

std::string_view to_string(Driver driver) {
  return driver == Driver::oci ? "oci" : "process";
}

Result<Fd> open_attempt(const AttemptRef& attempt) {
  if (auto good = check_attempt_id(attempt.id); !good) return tl::unexpected(good.error());
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  Fd folder(static_cast<int>(::syscall(SYS_openat2, attempt.attempts, attempt.id.c_str(), &how, sizeof how)));
  if (!folder) return base::fail_errno("cannot open the folder of " + attempt.id, errno);
  return folder;
}

namespace {

Result<StandingBox> make_box(CheckedLaunch& launch, int folder, const Weakened& weakened) {
  const auto range = launch.record->at_slot ? Range::at_slot : Range::next;
  AGENTROUTER_TRY(auto ids, IdLock::take(launch.record->slot, range));
  launch.slot = ids.slot();
  auto site = find_cgroup_site();
  if (weakened.bits & init::weaken_no_limits) site = {};
  if (launch.record->spec.demand_cgroup && site.mode == LimitsMode::rlimit)
    return base::fail(Code::unsupported, "cannot limit the sandbox by cgroups: " + site.why);
  StandingBox box{std::move(ids), {}, {}, site.mode};
  if (!site.unified.empty() || !site.v1.empty()) {
    const auto& spec = launch.record->spec;
    Limits limits;
    limits.memory_bytes = spec.memory_bytes;
    limits.pids = spec.pids;
    limits.cpu_percent = spec.cpu_percent;
    const Around around{cgroup_around(launch.attempt.attempts),
                        {spec.machine_memory, spec.machine_pids, spec.machine_cpu}};
    auto made = CgroupSet::make(site, cgroup_label(launch.attempt), limits, around);
    if (!made) return base::fail(made.error().code, "cannot make the cgroups: " + made.error().message);
    box.cgroups.emplace(std::move(*made));
  }
  const auto* groups = box.cgroups ? &*box.cgroups : nullptr;
  auto init = launch.image.empty() ? start_init(launch, folder, groups, site.mode, weakened)
                                   : start_guest(launch, folder, groups, site.mode);
  if (!init) return tl::unexpected(init.error());
  box.init = std::move(*init);
  return box;
}

// A box that waits, if one fits. Whatever is wrong with it, there is the other way.
std::optional<StandingBox> claim_box(CheckedLaunch& launch, int folder, WarmPool& pool) {
  auto box = pool.take(launch);
  if (!box) return {};
  const auto claimed = claim(*box, launch, folder);
  if (claimed) return box;
  base::log(base::LogLevel::warn, "a sandbox that was made ahead could not be used; another one is made",
            {{"attemptId", launch.attempt.id}, {"cause", claimed.error().message}});
  // An overlay is not mounted again on a work folder that it has been mounted on.
  for (const char* name : {"work", "work-home"}) (void)remove_tree(folder, name);
  return {};
}

}  // namespace

Result<LaunchedPair> launch_checked(CheckedLaunch& launch, const Weakened& weakened, WarmPool* pool) {
  auto folder = open_attempt(launch.attempt);
  if (!folder) return refuse(folder.error());
  const bool may_be_warm = pool && launch.image.empty();
  auto box = may_be_warm ? claim_box(launch, folder->get(), *pool) : std::nullopt;
  const bool warm = box.has_value();
  if (!box) {
    auto made = make_box(launch, folder->get(), weakened);
    if (!made) return refuse(made.error());
    box.emplace(std::move(*made));
  }
  const auto* groups = box->cgroups ? &*box->cgroups : nullptr;
  auto keeper = start_keeper({launch, folder->get(), box->init, groups, box->ids.fd()});
  if (!keeper) return refuse(keeper.error());
  if (box->cgroups) box->cgroups->keep();
  if (may_be_warm && launch.record->warm > 0) pool->expect(launch);
  return LaunchedPair{std::move(box->init.process), std::move(*keeper), box->mode, warm};
}

Result<void> release_attempt(const AttemptRef& attempt, Remove what) {
  auto folder = open_attempt(attempt);
  if (!folder && folder.error().code != Code::not_found) return tl::unexpected(folder.error());
  if (folder && has_keeper(folder->get())) {
    return base::fail(Code::conflict, "cannot release " + attempt.id + ": its keeper lives");
  }
  if (auto done = remove_groups(find_cgroups(cgroup_label(attempt), Match::whole)); !done) return done;
  remove_empty_around(attempt.attempts);
  if (!folder || what == Remove::groups) return {};
  if (what == Remove::all) {
    folder->reset();
    return remove_tree(attempt.attempts, attempt.id, at_a_time);
  }
  for (const char* name : {box_folder, "work", "work-home", "lower"}) {
    if (auto done = remove_tree(folder->get(), name, at_a_time); !done) return done;
  }
  return {};
}

Result<void> release_whole(Launcher& launcher, const AttemptRef& attempt, Remove what) {
  for (;;) {
    auto released = launcher.release(attempt, what);
    if (released || released.error().code != Code::exhausted) return released;
  }
}

Result<SweepReport> sweep_attempts(int attempts) {
  SweepReport report;
  Fd again(::openat(attempts, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!again) return base::fail_errno("cannot read the attempts", errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> all(::fdopendir(again.get()), ::closedir);
  if (!all) return base::fail_errno("cannot read the attempts", errno);
  (void)again.release();
  while (const auto* entry = ::readdir(all.get())) {
    const AttemptRef attempt{attempts, entry->d_name};
    auto folder = open_attempt(attempt);
    if (folder && has_keeper(folder->get())) report.live.push_back(attempt.id);
  }
  const auto prefix = cgroup_prefix(attempts);
  for (const auto& group : find_cgroups(prefix, Match::prefix)) {
    const auto id = label_of_cgroup(group).substr(prefix.size());
    if (std::find(report.live.begin(), report.live.end(), id) != report.live.end()) continue;
    auto killed = remove_cgroup(group);
    if (!killed) return tl::unexpected(killed.error());
    report.cgroups_removed += 1;
    // The same processes are in one group of each hierarchy.
    report.processes_killed = std::max(report.processes_killed, *killed);
  }
  remove_empty_around(attempts);
  remove_left_probes(attempts);
  return report;
}

LocalLauncher::LocalLauncher() : pool_(std::make_unique<WarmPool>()) {}
LocalLauncher::~LocalLauncher() = default;

Result<Launched> LocalLauncher::launch(const LaunchRequest& request) {
  reap({});
  auto encoded = encode(request);
  if (!encoded) return refuse(encoded.error());
  auto checked = check(*reinterpret_cast<const LaunchRecord*>(encoded->bytes.data()), encoded->fds);
  if (!checked) return refuse(checked.error());
  if (request.warm > 0) pool_->fill_in_background();
  auto pair = launch_checked(*checked, {}, pool_.get());
  if (!pair) return tl::unexpected(pair.error());
  Fd keeper(::fcntl(pair->keeper.pidfd.get(), F_DUPFD_CLOEXEC, 3));
  if (!keeper) return base::fail_errno("cannot keep hold of the keeper", errno);
  const auto pid = pair->keeper.pid;
  const std::lock_guard lock(mutex_);
  started_.push_back({request.attempt.id, std::move(pair->init.pidfd), std::move(pair->keeper.pidfd)});
  return Launched{std::move(keeper), pid, pair->limits, pair->warm};
}

Result<void> LocalLauncher::prepare(const LaunchRequest& request) {
  auto encoded = encode(request);
  if (!encoded) return refuse(encoded.error());
  auto checked = check(*reinterpret_cast<const LaunchRecord*>(encoded->bytes.data()), encoded->fds);
  if (!checked) return refuse(checked.error());
  if (!checked->image.empty())
    return refuse({Code::unsupported, "cannot make a sandbox of an image ahead: crun starts it with its run"});
  if (auto made = pool_->make(*checked); !made) return refuse(made.error());
  return {};
}

std::vector<pid_t> LocalLauncher::waiting() const {
  return pool_->waiting();
}

// Children of this process stay as zombies until they are waited for; `ending` is about to be released, so
// its init has a moment to follow its keeper.
void LocalLauncher::reap(const std::string& ending) {
  const std::lock_guard lock(mutex_);
  std::erase_if(started_, [&](Started& one) {
    if (one.keeper && wait_for_end(one.keeper.get(), 0)) one.keeper.reset();
    if (one.init && !one.keeper && one.attempt == ending) {
      if (!wait_for_end(one.init.get(), 2000)) (void)send_signal(one.init.get(), SIGKILL);
      (void)wait_for_end(one.init.get(), 5000);
      one.init.reset();
    }
    if (one.init && wait_for_end(one.init.get(), 0)) one.init.reset();
    return !one.keeper && !one.init;
  });
}

Result<void> LocalLauncher::release(const AttemptRef& attempt, Remove what) {
  reap(attempt.id);
  return release_attempt(attempt, what);
}

Result<SweepReport> LocalLauncher::sweep(int attempts) {
  pool_->clear();
  return sweep_attempts(attempts);
}

}  // namespace agentrouter::sandbox
