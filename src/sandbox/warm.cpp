#include "sandbox/warm.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <csignal>

#include "base/log.h"

namespace agentrouter::sandbox {
namespace {

using base::Result;

// Kinds of boxes at the same time (agents, with and without hosts that they may reach), and how long one is
// remembered that is not launched any more.
constexpr std::size_t max_kinds = 4;
constexpr std::uint64_t remembered_launches = 64;

bool has_event(int fd, short events) {
  pollfd one{fd, events, 0};
  return ::poll(&one, 1, 0) > 0;
}

// Init says nothing while it waits: a word, or the end of its socket, is its end.
bool lives(const StandingBox& box) {
  return !has_event(box.init.process.pidfd.get(), POLLIN) && !has_event(box.init.control.get(), POLLIN);
}

}  // namespace

WarmPool::~WarmPool() {
  if (filler_.joinable()) {
    filler_.request_stop();
    filler_.join();
  }
  clear();
}

void WarmPool::clear() {
  std::list<Waiting> ending;
  {
    const std::lock_guard lock(mutex_);
    kinds_.clear();
    ending.splice(ending.end(), boxes_);
    ending.splice(ending.end(), retired_);
  }
  // All at once, and then one after the other is waited for.
  for (const auto& one : ending) (void)send_signal(one.box.init.process.pidfd.get(), SIGKILL);
}

std::optional<StandingBox> WarmPool::take(const CheckedLaunch& launch) {
  {
    const std::lock_guard lock(mutex_);
    ++launches_;
    if (boxes_.empty()) return {};
  }
  // What is mounted below a folder that a box shows was looked at when it was made.
  const auto key = BoxKind::key_of(launch);
  const std::lock_guard lock(mutex_);
  if (has_event(mounts_.get(), POLLPRI)) {
    retired_.splice(retired_.end(), boxes_);
    ++mounts_changed_;
  }
  for (auto one = boxes_.begin(); one != boxes_.end();) {
    const auto here = one++;
    if (here->kind->key() != key) continue;
    if (!lives(here->box)) {
      retired_.splice(retired_.end(), boxes_, here);
      continue;
    }
    if (launch.record->spec.demand_cgroup && here->box.mode == LimitsMode::rlimit) return {};
    std::optional<StandingBox> taken(std::move(here->box));
    boxes_.erase(here);
    return taken;
  }
  return {};
}

void WarmPool::expect(const CheckedLaunch& launch) {
  const auto key = BoxKind::key_of(launch);
  const std::lock_guard lock(mutex_);
  most_ = launch.record->warm;
  auto known = std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& one) { return one.kind->key() == key; });
  if (known == kinds_.end()) {
    auto kind = BoxKind::of(launch);
    if (!kind) return;
    kinds_.insert(kinds_.begin(), {std::make_shared<const BoxKind>(std::move(*kind)), launches_, false});
  } else {
    known->launched = launches_;
    known->broken = false;
    std::rotate(kinds_.begin(), known, known + 1);
  }
  std::erase_if(kinds_, [this](const Kind& one) { return one.launched + remembered_launches < launches_; });
  if (const auto most = std::min(max_kinds, std::max<std::size_t>(most_, 1)); kinds_.size() > most) kinds_.resize(most);
  retire_locked();
  changed_.notify_all();
}

std::size_t WarmPool::count(const BoxKind& kind) const {
  return static_cast<std::size_t>(
      std::count_if(boxes_.begin(), boxes_.end(), [&](const Waiting& one) { return one.kind.get() == &kind; }));
}

std::size_t WarmPool::share(std::size_t index) const {
  return most_ / kinds_.size() + (index < most_ % kinds_.size() ? 1 : 0);
}

const WarmPool::Kind* WarmPool::missing() const {
  for (std::size_t i = 0; i < kinds_.size(); ++i) {
    if (!kinds_[i].broken && count(*kinds_[i].kind) < share(i)) return &kinds_[i];
  }
  return nullptr;
}

void WarmPool::retire_locked() {
  std::vector<std::size_t> left;
  for (std::size_t i = 0; i < kinds_.size(); ++i) left.push_back(share(i));
  for (auto one = boxes_.begin(); one != boxes_.end();) {
    const auto here = one++;
    std::size_t i = 0;
    while (i < kinds_.size() && kinds_[i].kind != here->kind) ++i;
    if (i < kinds_.size() && left[i] > 0 && lives(here->box)) {
      --left[i];
    } else {
      retired_.splice(retired_.end(), boxes_, here);
    }
  }
}

bool WarmPool::wants_locked() const {
  return !retired_.empty() || missing() != nullptr;
}

bool WarmPool::wants() const {
  const std::lock_guard lock(mutex_);
  return wants_locked();
}

std::uint64_t WarmPool::watch_mounts() {
  if (!mounts_) mounts_ = base::Fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  return mounts_changed_;
}

void WarmPool::make_one() {
  std::list<Waiting> ending;
  std::shared_ptr<const BoxKind> kind;
  std::uint64_t mounts_seen = 0;
  {
    const std::lock_guard lock(mutex_);
    ending.splice(ending.end(), retired_);
    if (const auto* one = missing()) kind = one->kind;
    mounts_seen = watch_mounts();
  }
  ending.clear();
  if (!kind) return;
  auto box = kind->make();
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(kinds_.begin(), kinds_.end(), [&](const Kind& one) { return one.kind == kind; });
  if (!box) {
    base::log(base::LogLevel::warn, "a sandbox could not be made ahead", {{"cause", box.error().message}});
    if (known != kinds_.end()) known->broken = true;
    return;
  }
  const bool outdated = known == kinds_.end() || mounts_seen != mounts_changed_;
  auto& place = outdated ? retired_ : boxes_;
  place.push_back({kind, std::move(*box)});
}

Result<void> WarmPool::make(const CheckedLaunch& launch) {
  AGENTROUTER_TRY(auto kind, BoxKind::of(launch));
  {
    const std::lock_guard lock(mutex_);
    (void)watch_mounts();
  }
  AGENTROUTER_TRY(auto box, kind.make());
  const std::lock_guard lock(mutex_);
  boxes_.push_back({std::make_shared<const BoxKind>(std::move(kind)), std::move(box)});
  return {};
}

std::vector<pid_t> WarmPool::waiting() const {
  const std::lock_guard lock(mutex_);
  std::vector<pid_t> pids;
  for (const auto& one : boxes_) pids.push_back(one.box.init.process.pid);
  return pids;
}

void WarmPool::fill_in_background() {
  const std::lock_guard lock(mutex_);
  if (!filler_.joinable()) filler_ = std::jthread([this](const std::stop_token& stop) { fill(stop); });
}

void WarmPool::fill(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return wants_locked(); })) {
    const auto seen = launches_;
    const bool again = changed_.wait_for(lock, stop, quiet, [&] { return launches_ != seen; });
    if (stop.stop_requested()) return;
    if (again) continue;
    lock.unlock();
    make_one();
    lock.lock();
  }
}

}  // namespace agentrouter::sandbox
