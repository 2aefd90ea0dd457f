#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <sstream>
#include <utility>

#include "base/file.h"
#include "sandbox/cgroup_tree.h"

namespace agentrouter::sandbox {
namespace {

using base::Fd;
using base::Result;

constexpr const char* supervisor = "agentrouter.supervisor";
// The folder of this process in a hierarchy, as a path of this mount namespace; empty when it is outside.
std::string own_folder(const Hierarchy& hierarchy, const std::string& controller) {
  std::istringstream lines(base::read_file("/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto names = line.substr(first + 1, second - first - 1);
    if (hierarchy.unified ? !names.empty() : !has_word(names, controller, ',')) continue;
    auto path = line.substr(second + 1);
    if (path.find("/..") != std::string::npos) return {};
    if (hierarchy.root != "/") {
      if (path.rfind(hierarchy.root, 0) != 0) return {};
      path = path.substr(hierarchy.root.size());
    }
    const auto leaf = path.rfind(std::string("/") + supervisor);
    if (leaf != std::string::npos) path.resize(leaf);
    return hierarchy.mounted + (path == "/" ? "" : path);
  }
  return {};
}

bool writable(const std::string& folder) {
  return !folder.empty() && ::access(folder.c_str(), W_OK) == 0;
}

Fd open_to_read(const std::string& path) {
  return Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

// A v2 group can hand out controllers only while it holds no process itself: those that are in it (this one,
// and its siblings in the same service) move into a leaf.
Result<void> enable_controllers(const std::string& folder) {
  const auto control = folder + "/cgroup.subtree_control";
  const auto have = base::read_file(control).value_or("");
  bool all = true;
  for (const auto* name : controllers) all = all && has_word(have, name, ' ');
  if (all) return {};
  auto done = write_to(control, "+memory +pids +cpu");
  if (done) return done;
  const auto leaf = folder + "/" + supervisor;
  if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST)
    return base::fail_errno("cannot make " + leaf, errno);
  for (const auto pid : processes(folder)) (void)write_to(leaf + "/cgroup.procs", std::to_string(pid));
  return write_to(control, "+memory +pids +cpu");
}

// 0: no limit.
std::string or_max(std::uint64_t value) {
  return value == 0 ? "max" : std::to_string(value);
}

std::uint32_t quota_us(std::uint32_t cpu_percent) {
  return cpu_percent * 1000;
}

Result<void> write_limits_v2(const std::string& folder, const Limits& limits) {
  const std::pair<const char*, std::string> wanted[] = {
      {"memory.max", std::to_string(limits.memory_bytes)},
      {"pids.max", std::to_string(limits.pids)},
      {"cpu.max", std::to_string(quota_us(limits.cpu_percent)) + " 100000"}};
  for (const auto& [file, text] : wanted) {
    if (auto done = write_to(folder + "/" + file, text); !done) return done;
  }
  // Absent where the kernel accounts no swap.
  (void)write_to(folder + "/memory.swap.max", "0");
  return {};
}

// What waits in TCP sockets has a limit of its own with v1, and none unless one is said. Kernels may be
// without it.
void limit_tcp_v1(const std::string& folder, std::uint64_t memory_bytes) {
  constexpr std::uint64_t least = 16u << 20;
  const auto most = memory_bytes == 0 ? "-1" : std::to_string(std::max(memory_bytes / 4, least));
  (void)write_to(folder + "/memory.kmem.tcp.limit_in_bytes", most);
}

Result<void> write_limit_v1(const std::string& folder, const std::string& controller, const Limits& limits) {
  if (controller == "pids") return write_to(folder + "/pids.max", std::to_string(limits.pids));
  if (controller == "cpu") {
    if (auto done = write_to(folder + "/cpu.cfs_period_us", "100000"); !done) return done;
    return write_to(folder + "/cpu.cfs_quota_us", std::to_string(quota_us(limits.cpu_percent)));
  }
  if (auto done = write_to(folder + "/memory.limit_in_bytes", std::to_string(limits.memory_bytes)); !done)
    return done;
  (void)write_to(folder + "/memory.swappiness", "0");
  limit_tcp_v1(folder, limits.memory_bytes);
  return {};
}

// What is beside it, the server's own group with v2 and each process with v1, weighs as much as all
// sandboxes.
Result<void> write_around_v2(const std::string& folder, const MachineLimits& machine) {
  if (auto done = write_to(folder + "/cgroup.subtree_control", "+memory +pids +cpu"); !done) return done;
  const auto cpu = machine.cpu_percent == 0 ? "max" : std::to_string(quota_us(machine.cpu_percent));
  const std::pair<const char*, std::string> wanted[] = {{"memory.max", or_max(machine.memory_bytes)},
                                                        {"pids.max", or_max(machine.pids)},
                                                        {"cpu.max", cpu + " 100000"}};
  for (const auto& [file, text] : wanted) {
    if (auto done = write_to(folder + "/" + file, text); !done) return done;
  }
  return {};
}

Result<void> write_around_v1(const std::string& folder, const std::string& controller,
                             const MachineLimits& machine) {
  if (controller == "pids") return write_to(folder + "/pids.max", or_max(machine.pids));
  if (controller == "memory") {
    const auto most = machine.memory_bytes == 0 ? "-1" : std::to_string(machine.memory_bytes);
    limit_tcp_v1(folder, machine.memory_bytes);
    return write_to(folder + "/memory.limit_in_bytes", most);
  }
  const auto quota = machine.cpu_percent == 0 ? "-1" : std::to_string(quota_us(machine.cpu_percent));
  // Refused while a sandbox that was started under a higher limit has more: it holds when that has ended.
  (void)write_to(folder + "/cpu.cfs_quota_us", quota);
  return {};
}

}  // namespace

CgroupSite find_cgroup_site() {
  CgroupSite site;
  const auto hierarchies = mounted_hierarchies();
  for (const auto& hierarchy : hierarchies) {
    if (!hierarchy.unified) continue;
    const auto own = own_folder(hierarchy, "");
    if (!writable(own)) continue;
    site.unified = own;
    const auto offered = base::read_file(own + "/cgroup.controllers").value_or("");
    site.mode = LimitsMode::cgroup2;
    for (const auto* name : controllers) {
      if (!has_word(offered, name, ' ')) site.mode = LimitsMode::rlimit;
    }
    if (site.mode == LimitsMode::cgroup2) return site;
    break;
  }
  for (const auto* name : controllers) {
    for (const auto& hierarchy : hierarchies) {
      if (hierarchy.unified || !has_word(hierarchy.options, name, ',')) continue;
      const auto own = own_folder(hierarchy, name);
      if (writable(own)) site.v1.push_back(own);
    }
  }
  if (site.v1.size() == controllers.size()) {
    site.mode = LimitsMode::cgroup1;
    return site;
  }
  site.v1.clear();
  site.why = hierarchies.empty() ? "no cgroup hierarchy is mounted"
                                 : "no writable cgroup with the controllers memory, pids and cpu";
  return site;
}

std::string cgroup_around(int attempts) {
  auto name = cgroup_prefix(attempts);
  name.pop_back();
  return name;
}

std::string cgroup_prefix(int attempts) {
  struct stat info {};
  (void)::fstat(attempts, &info);
  char text[64];
  const int size =
      std::snprintf(text, sizeof text, "agentrouter.%llx-%llx.", static_cast<unsigned long long>(info.st_dev),
                    static_cast<unsigned long long>(info.st_ino));
  return {text, static_cast<std::size_t>(size)};
}

std::string cgroup_label(const AttemptRef& attempt) {
  return cgroup_prefix(attempt.attempts) + attempt.id;
}

namespace {

std::string below(const std::string& parent, const Around& around) {
  return around.name.empty() ? parent : parent + "/" + around.name;
}

// The kernel refuses a part of the processors that is more than the whole.
Limits within(Limits limits, const Around& around) {
  if (const auto most = around.limits.cpu_percent) limits.cpu_percent = std::min(limits.cpu_percent, most);
  return limits;
}

}  // namespace

// Another launch may make, and a release remove, the group around at the same time.
Result<std::string> CgroupSet::make_folder(const std::string& parent, const std::string& label,
                                           const Around& around) {
  const auto whole = below(parent, around);
  auto folder = whole + "/" + label;
  for (int tries = 0; tries < 100; ++tries) {
    if (::mkdir(whole.c_str(), 0755) != 0 && errno != EEXIST)
      return base::fail_errno("cannot make " + whole, errno);
    if (::mkdir(folder.c_str(), 0755) == 0) {
      folders_.push_back(folder);
      if (!around.name.empty()) around_.push_back(whole);
      return folder;
    }
    if (errno != ENOENT) break;
  }
  return base::fail_errno("cannot make " + folder, errno);
}

Result<void> CgroupSet::make_unified(const CgroupSite& site, const std::string& label, const Limits& limits,
                                     const Around& around) {
  const bool limiting = site.mode == LimitsMode::cgroup2;
  if (limiting) {
    if (auto done = enable_controllers(site.unified); !done) return done;
  }
  AGENTROUTER_TRY(const auto folder, make_folder(site.unified, label, around));
  unified_ = Fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!unified_) return base::fail_errno("cannot open " + folder, errno);
  procs = open_to_read(folder + "/cgroup.events");
  limiting_v2_ = limiting;
  if (!limiting) return {};
  if (!around.name.empty()) {
    if (auto done = write_around_v2(below(site.unified, around), around.limits); !done) return done;
  }
  if (auto done = write_limits_v2(folder, limits); !done) return done;
  memory_events = open_to_read(folder + "/memory.events");
  memory_peak = open_to_read(folder + "/memory.peak");
  return {};
}

// One hierarchy may carry several controllers.
Result<void> CgroupSet::make_v1(const std::string& parent, const std::string& controller,
                                const std::string& label, const Limits& limits, const Around& around) {
  const auto whole = below(parent, around);
  const auto path = whole + "/" + label;
  if (std::find(v1_.begin(), v1_.end(), path) == v1_.end()) {
    AGENTROUTER_TRY(const auto folder, make_folder(parent, label, around));
    v1_.push_back(folder);
    entries_.emplace_back(::open((folder + "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
    if (!entries_.back()) return base::fail_errno("cannot open " + folder, errno);
  }
  limited_.emplace_back(path, controller);
  if (!around.name.empty()) {
    if (auto done = write_around_v1(whole, controller, around.limits); !done) return done;
  }
  return write_limit_v1(path, controller, within(limits, around));
}

Result<CgroupSet> CgroupSet::make(const CgroupSite& site, const std::string& label, const Limits& limits,
                                  const Around& around) {
  CgroupSet set;
  set.limits_ = limits;
  if (!site.unified.empty()) {
    auto done = set.make_unified(site, label, limits, around);
    if (!done) return tl::unexpected(done.error());
  }
  for (std::size_t i = 0; i < site.v1.size(); ++i) {
    auto done = set.make_v1(site.v1[i], controllers[i], label, limits, around);
    if (!done) return tl::unexpected(done.error());
  }
  if (!set.v1_.empty()) {
    set.memory_events = open_to_read(set.v1_[0] + "/memory.oom_control");
    set.memory_peak = open_to_read(set.v1_[0] + "/memory.max_usage_in_bytes");
    if (!set.procs) set.procs = open_to_read(set.v1_[0] + "/cgroup.procs");
  }
  return set;
}

Result<void> CgroupSet::adopt(const std::string& label, const Limits& limits, const Around& around) {
  const bool same = limits.memory_bytes == limits_.memory_bytes && limits.pids == limits_.pids &&
                    limits.cpu_percent == limits_.cpu_percent;
  limits_ = limits;
  for (auto& folder : folders_) {
    if (std::find(v1_.begin(), v1_.end(), folder) == v1_.end()) {
      if (limiting_v2_ && !same) {
        if (auto done = write_limits_v2(folder, limits); !done) return done;
      }
      if (::setxattr(folder.c_str(), cgroup_label_attribute, label.data(), label.size(), 0) != 0)
        return base::fail_errno("cannot label " + folder, errno);
      continue;
    }
    for (const auto& [path, controller] : limited_) {
      if (path != folder || same) continue;
      if (auto done = write_limit_v1(path, controller, within(limits, around)); !done) return done;
    }
    const auto renamed = folder.substr(0, folder.rfind('/') + 1) + label;
    if (::rename(folder.c_str(), renamed.c_str()) != 0) return base::fail_errno("cannot rename " + folder, errno);
    folder = renamed;
  }
  return {};
}

CgroupSet::CgroupSet(CgroupSet&& other) noexcept
    : procs(std::move(other.procs)),
      memory_events(std::move(other.memory_events)),
      memory_peak(std::move(other.memory_peak)),
      unified_(std::move(other.unified_)),
      folders_(std::exchange(other.folders_, {})),
      around_(std::exchange(other.around_, {})),
      limiting_v2_(other.limiting_v2_),
      limits_(other.limits_),
      v1_(std::move(other.v1_)),
      limited_(std::move(other.limited_)),
      entries_(std::move(other.entries_)) {}

CgroupSet::~CgroupSet() {
  for (const auto& folder : folders_) (void)remove_cgroup(folder);
  // Those that hold others stay.
  for (const auto& folder : around_) (void)::rmdir(folder.c_str());
}

}  // namespace agentrouter::sandbox
