#include "workspace/self_limits.h"

#include <linux/capability.h>
#include <linux/landlock.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/fd.h"

namespace agentrouter::workspace {

namespace {

// A sanitizer's shadow memory alone is larger.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr rlim_t address_space = RLIM_INFINITY;
#elif defined(__has_feature)
constexpr rlim_t address_space =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? RLIM_INFINITY : 2ull << 30;
#else
constexpr rlim_t address_space = 2ull << 30;
#endif
constexpr rlim_t open_files = 1024;     // two folders per level of depth
constexpr unsigned grace_seconds = 30;  // beyond the work's own deadline, for a read that hangs

void lower(int resource, rlim_t value) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return;
  if (value > limit.rlim_max) value = limit.rlim_max;
  limit.rlim_cur = limit.rlim_max = value;
  (void)::setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

// The rights of the second version of Landlock, which every later kernel knows: all that touches files. The
// first one would forbid hard links between folders.
constexpr std::uint64_t file_rights = (LANDLOCK_ACCESS_FS_REFER << 1) - 1;

bool allow(int rules, int place, std::uint64_t rights) {
  const landlock_path_beneath_attr below{.allowed_access = rights, .parent_fd = place};
  return ::syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0u) == 0;
}

void fence_in(int folder, int readable) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0u, LANDLOCK_CREATE_RULESET_VERSION) < 2) return;
  const landlock_ruleset_attr handled{.handled_access_fs = file_rights};
  const base::Fd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0u)));
  if (!rules) return;
  constexpr std::uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  struct stat info{};
  const bool is_folder = readable >= 0 && ::fstat(readable, &info) == 0 && S_ISDIR(info.st_mode);
  if (!allow(rules.get(), folder, file_rights) || (is_folder && !allow(rules.get(), readable, reading))) return;
  (void)::syscall(SYS_landlock_restrict_self, rules.get(), 0u);
}

}  // namespace

void end_with_parent(int pipe) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  pollfd reader{pipe, 0, 0};
  if (::poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR) != 0) ::_exit(1);
}

base::Result<void> give_up_rights(int folder, int readable) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const std::array<__user_cap_data_struct, 2> none{};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::syscall(SYS_capset, &header, none.data()) != 0) {
    return base::fail_errno("cannot give up rights", errno);
  }
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  fence_in(folder, readable);
  return {};
}

void limit_self(std::chrono::milliseconds wall_time, std::chrono::seconds cpu_time) {
  lower(RLIMIT_AS, address_space);
  lower(RLIMIT_NOFILE, open_files);
  lower(RLIMIT_CPU, static_cast<rlim_t>(cpu_time.count()));
  lower(RLIMIT_CORE, 0);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wall_time).count();
  (void)::alarm(static_cast<unsigned>(seconds) + grace_seconds);
}

}  // namespace agentrouter::workspace
