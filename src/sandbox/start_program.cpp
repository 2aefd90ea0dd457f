#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/file.h"
#include "sandbox/init_image.h"
#include "sandbox/start.h"
#include "sandbox/warden.h"

namespace agentrouter::sandbox {
namespace {

using base::Fd;
using base::Result;

constexpr int wanted_fds = keeper_fd::end;

struct ChildStart {
  int program;
  int fds[wanted_fds];  // -1: stays closed
  char* const* argv;
  char* const* envp;
  std::uint32_t id;  // 0: the launcher's own
  int error;
};

__attribute__((no_sanitize("address", "undefined", "thread"))) bool drop_to(std::uint32_t id) {
  for (int cap = 0; cap < 64; ++cap) {
    if (syscall(SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) break;
  }
  syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, id, id, id) == 0 &&
         syscall(SYS_setresuid, id, id, id) == 0;
}

// Runs on the parent's memory: system calls only.
__attribute__((no_sanitize("address", "undefined", "thread"))) int run_program(void* argument) {
  auto* start = static_cast<ChildStart*>(argument);
  syscall(SYS_setsid);
  const long program = syscall(SYS_fcntl, start->program, F_DUPFD_CLOEXEC, 64);
  for (int fd = 0; fd < wanted_fds; ++fd) {
    if (start->fds[fd] >= 0)
      start->fds[fd] = static_cast<int>(syscall(SYS_fcntl, start->fds[fd], F_DUPFD_CLOEXEC, 64));
  }
  for (int fd = 0; fd < wanted_fds; ++fd) {
    if (start->fds[fd] >= 0) {
      syscall(SYS_dup3, start->fds[fd], fd, 0);
    } else {
      syscall(SYS_close, fd);
    }
  }
  syscall(SYS_dup3, program, wanted_fds, O_CLOEXEC);
  syscall(SYS_close_range, wanted_fds + 1, ~0U, 0);
  syscall(SYS_chdir, "/");
  syscall(SYS_umask, 077);
  const rlimit no_core{0, 0};
  syscall(SYS_setrlimit, RLIMIT_CORE, &no_core);
  bool worked = start->id == 0 || drop_to(start->id);
  worked = worked && syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  reset_signals();
  if (worked) syscall(SYS_execveat, wanted_fds, "", start->argv, start->envp, AT_EMPTY_PATH);
  start->error = errno;
  return 127;
}

Result<Fd> open_log(int attempt, std::uint32_t id) {
  Fd log(::openat(attempt, "keeper.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log || (id != 0 && ::fchown(log.get(), id, id) != 0))
    return base::fail_errno("cannot open the keeper's log", errno);
  return log;
}

// A program that only its owner may execute is handed to other users as a sealed copy.
Result<Fd> open_program_for(std::uint32_t id) {
  Fd program(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
  struct stat info{};
  if (!program || ::fstat(program.get(), &info) != 0)
    return base::fail_errno("cannot open this program", errno);
  if (id == 0 || (info.st_mode & (S_IROTH | S_IXOTH)) == (S_IROTH | S_IXOTH)) return program;
  auto image = base::read_file("/proc/self/exe", 1u << 30);
  if (!image) return tl::unexpected(image.error());
  return make_program(*image);
}

}  // namespace

Result<Cloned> start_this_program(const ProgramStart& wanted) {
  auto program = open_program_for(wanted.id);
  if (!program) return tl::unexpected(program.error());
  std::vector<char*> argv;
  for (const auto& argument : wanted.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char* const envp[] = {nullptr};
  ChildStart start{program->get(), {}, argv.data(), envp, wanted.id, 0};
  std::copy(wanted.fds.begin(), wanted.fds.end(), start.fds);
  auto cloned = clone_borrowing(0, -1, run_program, &start);
  if (!cloned) return cloned;
  if (start.error != 0) {
    (void)wait_for_end(cloned->pidfd.get(), 1000);
    return base::fail_errno("cannot start " + wanted.argv[0], start.error);
  }
  return cloned;
}

Result<Cloned> start_keeper(const KeeperStart& keeper) {
  const auto id = ::geteuid() == 0 ? UidRange::of_slot(keeper.launch.slot).keeper() : 0;
  Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return base::fail_errno("cannot open /dev/null", errno);
  auto log = open_log(keeper.attempt_dir, id);
  if (!log) return tl::unexpected(log.error());
  ProgramStart start{keeper.launch.keeper_argv, {}, id};
  start.fds.fill(-1);
  start.fds[0] = start.fds[1] = null.get();
  start.fds[2] = log->get();
  start.fds[keeper_fd::control] = keeper.init.control.get();
  start.fds[keeper_fd::init] = keeper.init.process.pidfd.get();
  start.fds[keeper_fd::attempt] = keeper.attempt_dir;
  start.fds[keeper_fd::plan] = keeper.launch.plan_pipe;
  start.fds[keeper_fd::listener] = keeper.init.listener.get();
  start.fds[keeper_fd::ids] = keeper.id_lock;
  if (!keeper.launch.image.empty()) start.fds[keeper_fd::image] = keeper.launch.image.front();
  for (std::size_t i = 0; i < keeper.init.outbound.size(); ++i)
    start.fds[keeper_fd::names_udp + i] = keeper.init.outbound[i].get();
  if (keeper.cgroups) {
    start.fds[keeper_fd::cgroup_procs] = keeper.cgroups->procs.get();
    start.fds[keeper_fd::memory_events] = keeper.cgroups->memory_events.get();
    start.fds[keeper_fd::memory_peak] = keeper.cgroups->memory_peak.get();
  }
  return start_this_program(start);
}

Result<StartedWarden> start_warden(const std::vector<std::string>& argv) {
  auto pair = base::make_seqpacket_pair();
  if (!pair) return tl::unexpected(pair.error());
  Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return base::fail_errno("cannot open /dev/null", errno);
  ProgramStart start{argv, {}, 0};
  start.fds.fill(-1);
  start.fds[0] = start.fds[1] = null.get();
  start.fds[2] = STDERR_FILENO;
  start.fds[warden_fd] = pair->second.get();
  auto started = start_this_program(start);
  if (!started) return tl::unexpected(started.error());
  return StartedWarden{std::move(pair->first), std::move(started->pidfd)};
}

}  // namespace agentrouter::sandbox
