#include "sandbox/doctor.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/file.h"
#include "base/id.h"
#include "sandbox/id_lock.h"
#include "sandbox/idmap.h"
#include "sandbox/remove_tree.h"
#include "sandbox/seccomp.h"
#include "sandbox/start.h"

namespace agentrouter::sandbox {

namespace {

constexpr std::string_view probe_prefix = ".probe-";

using base::Fd;
using base::Result;

enum class Need { required, optional };

Probe ok(std::string name, Need need, std::string detail) {
  return {std::move(name), Found::ok, need == Need::required, std::move(detail), {}};
}

Probe missing(std::string name, Need need, std::string detail, std::string remedy) {
  return {std::move(name), Found::missing, need == Need::required, std::move(detail), std::move(remedy)};
}

// Runs on the parent's memory: nothing but the return.
__attribute__((no_sanitize("address", "undefined", "thread"))) int end_at_once(void*) {
  return 0;
}

Result<void> try_namespaces(std::uint64_t flags) {
  auto cloned = clone_borrowing(flags, -1, end_at_once, nullptr);
  if (!cloned) return tl::unexpected(cloned.error());
  (void)wait_for_end(cloned->pidfd.get(), 10'000);
  return {};
}

std::string setting(const char* path) {
  auto text = base::read_file(path).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string namespace_remedy() {
  if (setting("/proc/sys/kernel/unprivileged_userns_clone") == "0")
    return "sysctl -w kernel.unprivileged_userns_clone=1";
  if (setting("/proc/sys/user/max_user_namespaces") == "0") return "sysctl -w user.max_user_namespaces=15000";
  if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    return "load the AppArmor profile of the package, or start the server as root";
  }
  return "allow user namespaces for this program (a chroot forbids them, and so do most containers)";
}

void probe_namespaces(std::vector<Probe>& probes) {
  struct {
    const char* name;
    std::uint64_t flag;
  } const kinds[] = {{"user namespace", 0},
                     {"mount namespace", CLONE_NEWNS},
                     {"pid namespace", CLONE_NEWPID},
                     {"network namespace", CLONE_NEWNET},
                     {"ipc namespace", CLONE_NEWIPC},
                     {"uts namespace", CLONE_NEWUTS},
                     {"cgroup namespace", CLONE_NEWCGROUP}};
  for (const auto& kind : kinds) {
    auto tried = try_namespaces(CLONE_NEWUSER | kind.flag);
    probes.push_back(tried ? ok(kind.name, Need::required, "available")
                           : missing(kind.name, Need::required, tried.error().message, namespace_remedy()));
  }
}

Probe probe_kernel() {
  utsname name{};
  ::uname(&name);
  const int major = std::atoi(name.release);
  const char* dot = std::strchr(name.release, '.');
  const int minor = dot ? std::atoi(dot + 1) : 0;
  const std::string detail = std::string("Linux ") + name.release + " " + name.machine;
  if (major > 5 || (major == 5 && minor >= 19)) return ok("kernel", Need::required, detail);
  return missing("kernel", Need::required, detail, "use Linux 5.19 or newer");
}

Probe probe_seccomp() {
  auto filter = seccomp_filter(Profile::agent);
  const auto actions = setting("/proc/sys/kernel/seccomp/actions_avail");
  if (!filter)
    return missing("seccomp", Need::required, filter.error().message,
                   "use a kernel with CONFIG_SECCOMP_FILTER");
  if (actions.find("errno") == std::string::npos) {
    return missing("seccomp", Need::required, "no filters in this kernel",
                   "use a kernel with CONFIG_SECCOMP_FILTER");
  }
  return ok("seccomp", Need::required, "a list of what is allowed, " + std::to_string(filter->size()) + " instructions");
}

Probe probe_landlock() {
  constexpr int create_ruleset = 444;
  const long version = ::syscall(create_ruleset, nullptr, 0, 1u);
  if (version >= 2) return ok("landlock", Need::optional, "version " + std::to_string(version));
  return {"landlock", Found::degraded, false, "no second fence around the sandbox's files",
          "boot a kernel with CONFIG_SECURITY_LANDLOCK and landlock in lsm="};
}

Probe probe_limits() {
  const auto site = find_cgroup_site();
  Probe probe{"resource limits", Found::ok, false, {}, {}};
  if (site.mode == LimitsMode::cgroup2) {
    probe.detail = "cgroup v2: memory, pids, cpu in " + site.unified;
  } else if (site.mode == LimitsMode::cgroup1) {
    probe.detail = "cgroup v1: memory, pids, cpu";
    if (!site.unified.empty()) probe.detail += "; v2 for killing";
  } else {
    probe.found = Found::degraded;
    probe.detail = "rlimits and a memory watch only: " + site.why;
    probe.remedy = "run as a systemd service with Delegate=yes, or as root";
  }
  return probe;
}

// A folder for the attempts that are only tried, removed with everything in it. It is locked as long as it is
// used, so that a sweep knows which are left over.
class Scratch {
 public:
  explicit Scratch(const std::string& parent) {
    parent_ = base::open_directory(parent).value_or(Fd());
    for (int tries = 0; tries < 10 && !folder_; ++tries) {
      auto name = parent + "/" + std::string(probe_prefix) + "XXXXXX";
      if (::mkdtemp(name.data()) == nullptr) return;
      name_ = name.substr(parent.size() + 1);
      folder_ = base::open_directory(name).value_or(Fd());
      struct stat info{};
      const bool ours = folder_ && ::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0 &&
                        ::fstat(folder_.get(), &info) == 0 && info.st_nlink > 0;
      if (!ours) folder_.reset();  // a sweep was faster
    }
  }
  ~Scratch() {
    if (parent_) (void)remove_tree(parent_.get(), name_);
  }
  [[nodiscard]] int folder() const { return folder_.get(); }

 private:
  Fd parent_, folder_;
  std::string name_;
};

// The whole sandbox once, with the real init: whatever a single probe cannot see fails here with its stage.
Result<void> try_sandbox(int scratch) {
  LaunchRequest request;
  request.attempt = {scratch, "attempt_" + base::new_uuid(base::system_entropy())};
  request.plan = curated_plan();
  request.keeper_argv = {"none"};
  if (::mkdirat(scratch, request.attempt.id.c_str(), 0700) != 0)
    return base::fail_errno("cannot make a folder", errno);
  auto encoded = encode(request);
  if (!encoded) return tl::unexpected(encoded.error());
  auto checked = check(*reinterpret_cast<const LaunchRecord*>(encoded->bytes.data()), encoded->fds);
  if (!checked) return tl::unexpected(checked.error());
  auto folder = open_attempt(request.attempt);
  if (!folder) return tl::unexpected(folder.error());
  auto ids = IdLock::take(0, Range::next);
  if (!ids) return tl::unexpected(ids.error());
  checked->slot = ids->slot();
  auto init = start_init(*checked, folder->get(), nullptr, LimitsMode::rlimit);
  if (!init) return tl::unexpected(init.error());
  return {};
}

void probe_scratch(const std::string& path, std::vector<Probe>& probes) {
  const Scratch scratch(path);
  if (scratch.folder() < 0) {
    probes.push_back(missing("sandbox", Need::required,
                             "cannot make a folder in " + path + ": " + std::strerror(errno),
                             "choose a writable data directory"));
    return;
  }
  auto tried = try_sandbox(scratch.folder());
  probes.push_back(
      tried ? ok("sandbox", Need::required, "root, overlay, devices, listener and filter were set up")
            : missing("sandbox", Need::required, tried.error().message, namespace_remedy()));
  if (::geteuid() != 0) return;
  // For a workspace that belongs to somebody else than the agent.
  auto mapped = clone_mapped(scratch.folder(), UidRange::of_slot(0));
  probes.push_back(mapped ? ok("id-mapped mounts", Need::required, "available")
                          : missing("id-mapped mounts", Need::required, mapped.error().message,
                                    "keep workspaces on ext4, xfs, btrfs or tmpfs"));
}

}  // namespace

std::string_view to_string(Found found) {
  switch (found) {
    case Found::ok:
      return "ok";
    case Found::degraded:
      return "degraded";
    case Found::missing:
      return "missing";
  }
  return "missing";
}

void remove_left_probes(int attempts) {
  Fd again(::openat(attempts, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> all(again ? ::fdopendir(again.get()) : nullptr, ::closedir);
  if (!all) return;
  (void)again.release();
  while (const auto* entry = ::readdir(all.get())) {
    const std::string name = entry->d_name;
    if (!name.starts_with(probe_prefix)) continue;
    const Fd folder(::openat(attempts, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (folder && ::flock(folder.get(), LOCK_EX | LOCK_NB) == 0) (void)remove_tree(attempts, name);
  }
}

std::vector<Probe> probe_machine(const std::string& scratch) {
  std::vector<Probe> probes = {probe_kernel()};
  probe_namespaces(probes);
  probes.push_back(probe_seccomp());
  probes.push_back(probe_landlock());
  probes.push_back(probe_limits());
  probe_scratch(scratch, probes);
  if (::geteuid() == 0) {
    probes.push_back(ok("separate users", Need::optional, "a range of user ids per attempt"));
  } else {
    probes.push_back({"separate users", Found::degraded, false, "agent, keeper and server share one user id",
                      "start the server as root for a user id of its own per attempt"});
  }
  return probes;
}

Result<void> require(const std::vector<Probe>& probes) {
  std::string all;
  for (const auto& probe : probes) {
    if (!probe.required || probe.found != Found::missing) continue;
    all += (all.empty() ? "" : "; ") + probe.name + " (" + probe.detail;
    if (!probe.remedy.empty()) all += "; remedy: " + probe.remedy;
    all += ")";
  }
  if (all.empty()) return {};
  return base::fail(base::Code::unsupported, "cannot confine agents on this machine: " + all,
                    "sandbox_unavailable");
}

}  // namespace agentrouter::sandbox
