#include <sys/statvfs.h>
#include <time.h>

#include <cstring>

#include "sandbox/init/disk.h"
#include "sandbox/init/system.h"

namespace agentrouter::sandbox::init {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // ns
constexpr std::uint64_t mib = 1u << 20;
constexpr std::uint64_t step_ns = 2 * ms;
constexpr std::uint64_t always = ~std::uint64_t{0};
// What a machine may write in a millisecond: how soon the rest of a cap could be used up.
constexpr std::uint64_t bytes_per_ms = 4 * mib, inodes_per_ms = 200;
// Who took less of a reserve does not go on writing.
constexpr std::uint64_t quiet_bytes = mib, quiet_inodes = 64;
constexpr std::uint64_t least_ms = 5, most_ms = 500;

std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t less(std::uint64_t from, std::uint64_t what) {
  return from > what ? from - what : 0;
}

std::uint64_t least_of(std::uint64_t one, std::uint64_t other) {
  return one < other ? one : other;
}

std::uint64_t clamp(std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  return value < least ? least : value > most ? most : value;
}

}  // namespace

void DiskWatch::start(const Spec& spec, const Grounds& grounds) {
  folders_[0] = grounds.written_workspace;
  folders_[1] = grounds.written_home;
  most_bytes_ = spec.disk_bytes;
  most_inodes_ = spec.disk_inodes;
  reserve_ = spec.disk_reserve;
  reserve_percent_ = spec.disk_reserve_inode_percent;
  struct statvfs system {};
  if (fstatvfs(folders_[0], &system) != 0) return;
  last_bytes_ = system.f_bfree * system.f_frsize;
  last_inodes_ = system.f_ffree;
  ended_ = now_ns();
  // Nothing runs that could hold a file open.
  walk_.begin(folders_, 2);
  walk_.step(always);
  first_ = walk_.sum();
  bound_walk();
}

// A folder's files may have more names than could be counted in time; so many are an end in themselves.
void DiskWatch::bound_walk() {
  walk_.stop_after((most_inodes_ + 2) * DiskWalk::names_of_inode);
}

DiskCount DiskWatch::counted() const {
  const auto names = walk_.sum(), held = held_.sum();
  return {names.bytes + held.bytes, names.inodes + held.inodes, names.too_deep || held.too_deep};
}

void DiskWatch::begin_counts() {
  walk_.begin(folders_, 2);
  held_.begin();
}

// The look at open files that goes on may have begun before the last ones were opened.
void DiskWatch::count_to_the_end() {
  held_.step(always);
  begin_counts();
  walk_.step(always);
  held_.step(always);
}

void DiskWatch::forgive() {
  walk_.stop_after(always);
  count_to_the_end();
  const auto sum = counted();
  most_bytes_ += less(sum.bytes, first_.bytes);
  most_inodes_ += less(sum.inodes, first_.inodes);
  first_ = sum;
  last_ = sum;
  bound_walk();
}

DiskCause DiskWatch::judge(const DiskCount& sum) const {
  if (sum.bytes > most_bytes_) return disk_bytes;
  if (sum.inodes > most_inodes_) return disk_inodes;
  return sum.too_deep ? disk_depth : disk_fits;
}

// A long look at open files may have seen one that got its name meanwhile: what only both together say is
// counted once more at once.
DiskCause DiskWatch::judge_counts() {
  const auto cause = judge(counted());
  if (!cause || judge(walk_.sum())) return cause;
  count_to_the_end();
  finish_walk(now_ns());
  return judge(counted());
}

// What may be used by now, going by what the file system has lost since the last count.
DiskCount DiskWatch::guess() const {
  return {last_.bytes + less(last_bytes_, free_bytes_), last_.inodes + less(last_inodes_, free_inodes_),
          false};
}

bool DiskWatch::time_to_walk(std::uint64_t now) const {
  const auto bytes_left = less(most_bytes_, last_.bytes), inodes_left = less(most_inodes_, last_.inodes);
  const bool seen = less(last_bytes_, free_bytes_) >= clamp(bytes_left / 8, mib, 512 * mib) ||
                    less(last_inodes_, free_inodes_) >= clamp(inodes_left / 8, 256, 65536);
  // Half of the time at most.
  if (seen) return now - ended_ >= took_;
  // Others may free what this agent takes.
  const auto by_bytes = bytes_left / mib, by_inodes = inodes_left / 100;
  const auto rest = clamp(by_bytes < by_inodes ? by_bytes : by_inodes, 100, low_ ? 250 : 10'000) * ms;
  return now - ended_ >= (rest > 20 * took_ ? rest : 20 * took_);
}

// The machine's disk is nearly full: who goes on writing is stopped, and everybody when it gets worse.
DiskCause DiskWatch::judge_reserve(const struct statvfs& system) {
  const std::uint64_t bytes = system.f_bavail * system.f_frsize, inodes = system.f_favail;
  const std::uint64_t reserve_inodes = system.f_files / 100 * reserve_percent_;
  low_ = bytes < reserve_ || inodes < reserve_inodes;
  if (!low_) low_known_ = false;
  spare_bytes_ = reserve_ ? less(bytes, reserve_ / 4) : always;
  spare_inodes_ = reserve_inodes ? less(inodes, reserve_inodes / 4) : always;
  return bytes < reserve_ / 4 || inodes < reserve_inodes / 4 ? disk_reserve : disk_fits;
}

bool DiskWatch::has_grown_since_low() const {
  return last_.bytes > low_at_.bytes + quiet_bytes || last_.inodes > low_at_.inodes + quiet_inodes;
}

void DiskWatch::finish_walk(std::uint64_t now) {
  const auto names = walk_.sum(), held = held_.expected();
  last_ = {names.bytes + held.bytes, names.inodes + held.inodes, false};
  last_bytes_ = walk_bytes_;
  last_inodes_ = walk_inodes_;
  took_ = now - began_;
  ended_ = now;
}

void DiskWatch::plan_next(std::uint64_t now) {
  if (walk_.running() || held_.running()) {
    // Far from the cap a count takes a part of the time only.
    const auto near = guess();
    next_ms_ = near.bytes > most_bytes_ / 2 || near.inodes > most_inodes_ / 2 ? 0 : 6;
    return;
  }
  const auto near = guess();
  const auto by_bytes = least_of(less(most_bytes_, near.bytes), spare_bytes_) / bytes_per_ms;
  const auto by_inodes = least_of(less(most_inodes_, near.inodes), spare_inodes_) / inodes_per_ms;
  auto wait = clamp(by_bytes < by_inodes ? by_bytes : by_inodes, least_ms, most_ms);
  // Where the last count took long, the next one is not yet due.
  if (wait * ms < took_ && now - ended_ < took_)
    wait = clamp((took_ - (now - ended_)) / ms, least_ms, most_ms);
  next_ms_ = static_cast<int>(wait);
}

DiskCause DiskWatch::look() {
  struct statvfs system {};
  if (fstatvfs(folders_[0], &system) == 0) {
    free_bytes_ = system.f_bfree * system.f_frsize;
    free_inodes_ = system.f_ffree;
    if (const auto cause = judge_reserve(system)) return cause;
  }
  auto now = now_ns();
  if (!walk_.running() && time_to_walk(now)) {
    began_ = now;
    walk_bytes_ = free_bytes_;
    walk_inodes_ = free_inodes_;
    begin_counts();
  }
  if (held_.running()) {
    held_.step(now + step_ns);
    if (const auto cause = judge_counts()) return cause;
    now = now_ns();
  }
  if (walk_.running()) {
    const bool whole = walk_.step(now + step_ns);
    if (const auto cause = judge_counts()) return cause;
    now = now_ns();
    if (whole) finish_walk(now);
    if (whole && low_) {
      if (low_known_ && has_grown_since_low()) return disk_reserve;
      if (!low_known_) low_at_ = last_;
      low_known_ = true;
    }
  }
  plan_next(now);
  return disk_fits;
}

DiskCause DiskWatch::last_look() {
  struct statvfs system {};
  if (fstatvfs(folders_[0], &system) == 0) {
    free_bytes_ = system.f_bfree * system.f_frsize;
    free_inodes_ = system.f_ffree;
  }
  const auto most = guess();
  if (most.bytes <= most_bytes_ && most.inodes <= most_inodes_ && last_inodes_ != 0) return disk_fits;
  count_to_the_end();
  return judge(counted());
}

void DiskWatch::report(DiskCause cause, bool settled) {
  if (settled) count_to_the_end();
  const auto sum = counted();
  const bool counted = settled || walk_.running();
  const DiskReport report{
      cause,       settled ? 1u : 0u, counted ? sum.bytes : last_.bytes, counted ? sum.inodes : last_.inodes,
      most_bytes_, most_inodes_};
  Reply reply{reply_disk_stop, 0, 0, 0, {}};
  static_assert(sizeof report <= sizeof reply.stage);
  memcpy(reply.stage, &report, sizeof report);
  send_out(reply);
}

}  // namespace agentrouter::sandbox::init
