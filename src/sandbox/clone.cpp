#include "sandbox/clone.h"

#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#if !defined(__x86_64__)
#error "clone_on_stack is written for x86-64"
#endif

// long clone_on_stack(clone_args*, size_t, int (*run)(void*), void* argument): clone3(2) whose child calls
// run(argument) on the stack of the clone_args and then exits. -errno on failure.
extern "C" long agentrouter_clone_on_stack(clone_args*, std::size_t, int (*)(void*), void*);
asm(R"(
.text
.globl agentrouter_clone_on_stack
.type agentrouter_clone_on_stack, @function
agentrouter_clone_on_stack:
  mov %rdx, %r8
  mov %rcx, %r9
  mov $435, %eax
  syscall
  test %rax, %rax
  jz 1f
  ret
1:
  xor %ebp, %ebp
  mov %r9, %rdi
  call *%r8
  mov %eax, %edi
  mov $60, %eax
  syscall
  hlt
.size agentrouter_clone_on_stack, . - agentrouter_clone_on_stack
)");

namespace agentrouter::sandbox {
namespace {

constexpr std::size_t stack_size = 256 << 10;

void* make_stack() {
  void* stack =
      ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  return stack == MAP_FAILED ? nullptr : stack;
}

// The ids of this thread alone (the C library's calls change all threads), with the capabilities that it had. All
// three: with an effective id that is not the real one, kernels before 6.16 take the ambient capabilities away at exec.
class LentId {
 public:
  explicit LentId(std::optional<uid_t> id) : lent_(id.has_value()) {
    if (!lent_) return;
    ::getresuid(&before_[0], &before_[1], &before_[2]);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct caps[2] = {};
    if (syscall(SYS_capget, &header, caps) != 0 || ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_setresuid, *id, *id, *id) != 0 || syscall(SYS_capset, &header, caps) != 0)
      error_ = errno;
  }
  LentId(const LentId&) = delete;
  LentId& operator=(const LentId&) = delete;
  ~LentId() {
    if (!lent_) return;
    syscall(SYS_setresuid, before_[0], before_[1], before_[2]);
    ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  }
  [[nodiscard]] int error() const { return error_; }

 private:
  bool lent_;
  uid_t before_[3] = {};
  int error_ = 0;
};

base::Result<Cloned> clone_with(std::uint64_t flags, int cgroup, void* stack, int (*run)(void*),
                                void* argument) {
  int pidfd = -1;
  clone_args args{};
  args.flags = flags | CLONE_PIDFD | CLONE_VM;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<std::uintptr_t>(stack);
  args.stack_size = stack_size;
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(cgroup);
  }
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const long pid = agentrouter_clone_on_stack(&args, sizeof args, run, argument);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return base::fail_errno("cannot clone", static_cast<int>(-pid));
  return Cloned{static_cast<pid_t>(pid), base::Fd(pidfd)};
}

// Ends with the process that made it: of all that was open there it keeps one end of a pipe, whose other end
// is only there. Runs on the parent's memory: system calls only.
__attribute__((no_sanitize("address", "undefined", "thread"))) int idle(void* argument) {
  syscall(SYS_dup3, reinterpret_cast<std::intptr_t>(argument), 0, 0);
  syscall(SYS_close_range, 1, ~0U, 0);
  char byte = 0;
  syscall(SYS_read, 0, &byte, 1);
  return 0;
}

}  // namespace

base::Result<Cloned> clone_borrowing(std::uint64_t flags, int cgroup, int (*run)(void*), void* argument,
                                     std::optional<uid_t> owner) {
  LentId id(owner);
  if (id.error() != 0) return base::fail_errno("cannot take the id of the sandbox", id.error());
  void* stack = make_stack();
  if (!stack) return base::fail_errno("cannot clone", errno);
  auto result = clone_with(flags | CLONE_VFORK, cgroup, stack, run, argument);
  ::munmap(stack, stack_size);
  return result;
}

__attribute__((no_sanitize("address", "undefined", "thread"))) void reset_signals() {
  struct {
    void* handler;
    unsigned long flags, restorer, mask;
  } by_default{nullptr, 0, 0, 0};
  for (int signal = 1; signal <= 64; ++signal) syscall(SYS_rt_sigaction, signal, &by_default, nullptr, 8);
  const unsigned long none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, 8);
}

base::Result<IdleProcess> IdleProcess::start(std::uint64_t flags) {
  IdleProcess process;
  auto pipe = base::make_pipe();
  if (!pipe) return tl::unexpected(pipe.error());
  process.stack_ = make_stack();
  if (!process.stack_) return base::fail_errno("cannot clone", errno);
  process.parent_ = std::move(pipe->second);
  const auto read_end = static_cast<std::intptr_t>(pipe->first.get());
  auto cloned = clone_with(flags, -1, process.stack_, idle, reinterpret_cast<void*>(read_end));
  if (!cloned) return tl::unexpected(cloned.error());
  process.cloned_ = std::move(*cloned);
  return process;
}

IdleProcess::IdleProcess(IdleProcess&& other) noexcept
    : cloned_(std::move(other.cloned_)),
      parent_(std::move(other.parent_)),
      stack_(std::exchange(other.stack_, nullptr)) {}

IdleProcess::~IdleProcess() {
  bool ended = !cloned_.pidfd;
  if (cloned_.pidfd) {
    (void)send_signal(cloned_.pidfd.get(), SIGKILL);
    ended = wait_for_end(cloned_.pidfd.get(), 10'000);
  }
  if (stack_ && ended) ::munmap(stack_, stack_size);
}

bool wait_for_end(int pidfd, int milliseconds) {
  pollfd ready{pidfd, POLLIN, 0};
  int rc = 0;
  while ((rc = ::poll(&ready, 1, milliseconds)) < 0 && errno == EINTR) {
  }
  if (rc <= 0) return false;
  siginfo_t info{};
  ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
  return true;
}

base::Result<void> send_signal(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0)
    return base::fail_errno("cannot signal", errno);
  return {};
}

}  // namespace agentrouter::sandbox
