#include "sandbox/seccomp_groups.h"

#include <linux/sched.h>
#include <sys/socket.h>

#include <cerrno>

namespace agentrouter::sandbox {
namespace {

constexpr std::uint32_t new_namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                         CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
constexpr std::uint32_t tiocsti = 0x5412;
constexpr std::uint32_t tioclinux = 0x541C;
constexpr std::uint32_t tiocsetd = 0x5423;
constexpr std::uint32_t ask_persona = 0xffffffff;
constexpr std::uint32_t type_without_flags = 0xf;

std::vector<CallGroup> make_groups() {
  return {
      {"reading files",
       "what every program does; the view, the rights of files and Landlock decide what is found",
       Reach::everybody,
       {"open", "openat", "openat2", "close", "close_range", "read", "readv", "pread64", "preadv", "preadv2",
        "lseek", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat",
        "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir",
        "readahead", "fadvise64", "cachestat", "getxattr", "lgetxattr", "fgetxattr", "getxattrat", "listxattr",
        "llistxattr", "flistxattr", "listxattrat", "file_getattr"}},
      {"open descriptors",
       "pipes, terminals, waiting and event loops; each reaches only what is open already",
       Reach::everybody,
       {"write", "writev", "pwrite64", "pwritev", "pwritev2", "dup", "dup2", "dup3", "fcntl", "ioctl", "pipe",
        "pipe2", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
        "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4",
        "timerfd_create", "timerfd_settime", "timerfd_gettime", "sendfile", "splice", "tee", "vmsplice",
        "copy_file_range", "fsync", "fdatasync", "sync_file_range", "flock"}},
      {"memory", "of the calling process only", Reach::everybody,
       {"mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "msync", "mincore", "mlock", "mlock2",
        "mlockall", "munlock", "munlockall", "pkey_alloc", "pkey_free", "pkey_mprotect", "membarrier",
        "memfd_create", "mseal", "map_shadow_stack", "get_mempolicy"}},
      {"processes and threads",
       "starting and waiting; without new namespaces (below), counted by the limits, ended with the sandbox",
       Reach::everybody,
       {"clone", "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid",
        "getppid", "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "set_tid_address",
        "set_robust_list", "get_robust_list", "rseq", "futex", "futex_waitv", "futex_wake", "futex_wait",
        "futex_requeue", "prctl", "arch_prctl", "tgkill", "personality"}},
      {"scheduling", "priorities can only be lowered without a capability; of the sandbox's own processes",
       Reach::everybody,
       {"sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam",
        "sched_getscheduler", "sched_setscheduler", "sched_getattr", "sched_setattr", "sched_get_priority_max",
        "sched_get_priority_min", "sched_rr_get_interval", "getpriority", "setpriority", "ioprio_get",
        "ioprio_set", "getcpu"}},
      {"own signals", "handlers and masks of the calling process", Reach::everybody,
       {"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend",
        "sigaltstack", "pause", "restart_syscall", "alarm", "getitimer", "setitimer"}},
      {"time", "reading clocks and waiting; setting one is refused below", Reach::everybody,
       {"nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "times",
        "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete"}},
      {"ids and limits",
       "asking for them, and setting what the kernel allows a process without capabilities; init becomes the agent "
       "with them",
       Reach::everybody,
       {"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid", "setgid",
        "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capget",
        "capset", "getrlimit", "setrlimit", "prlimit64", "getrusage", "sysinfo", "uname", "umask", "getrandom"}},
      {"own confinement", "a process may only ever take from itself with them", Reach::everybody,
       {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}},
      {"changing files",
       "names, sizes, owners and modes in the workspace, the home and /tmp; devices cannot be made without a "
       "capability",
       Reach::agent,
       {"creat", "truncate", "ftruncate", "fallocate", "mkdir", "mkdirat", "rmdir", "rename", "renameat",
        "renameat2", "link", "linkat", "unlink", "unlinkat", "symlink", "symlinkat", "mknod", "mknodat",
        "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat", "utime", "utimes",
        "futimesat", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr",
        "lremovexattr", "fremovexattr", "removexattrat", "file_setattr", "sync", "syncfs"}},
      {"watching files", "build tools and servers that reload; of what can be read anyway", Reach::agent,
       {"inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch"}},
      {"signals to others", "of the sandbox: its pid namespace holds nobody else", Reach::agent,
       {"kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal"}},
      {"network",
       "inside of a network namespace of its own, whose only ways out are held from outside; families and protocols "
       "below",
       Reach::agent,
       {"socket", "socketpair", "connect", "accept", "accept4", "bind", "listen", "getsockname", "getpeername",
        "getsockopt", "setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
        "shutdown"}},
      {"System V and POSIX IPC", "databases and test suites; in an ipc namespace of its own", Reach::agent,
       {"shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "msgget", "msgsnd",
        "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify",
        "mq_getsetattr"}},
      {"kernel AIO", "databases; on files that are open already", Reach::agent,
       {"io_setup", "io_destroy", "io_getevents", "io_pgetevents", "io_submit", "io_cancel"}},

      {"mounts and roots", "the view is fixed once init has built it", Reach::refused,
       {"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen",
        "fsconfig", "fsmount", "fspick", "mount_setattr", "statmount", "listmount"}},
      {"namespaces", "a nested user namespace gives capabilities over a large part of the kernel",
       Reach::refused,
       {"setns", "unshare"}},
      {"key rings", "no namespace confines them", Reach::refused, {"add_key", "request_key", "keyctl"}},
      {"large kernel interfaces",
       "io_uring, bpf, perf and userfaultfd have had many holes, go around filters, and no build needs them",
       Reach::refused,
       {"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
        "memfd_secret", "modify_ldt", "lookup_dcookie", "remap_file_pages"}},
      {"other processes' memory and descriptors",
       "the agent's programs share one id; as a plain user also with the server (which is out of sight)",
       Reach::refused,
       {"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd",
        "kcmp"}},
      {"the machine", "modules, kexec, power, swap, quota, accounting, clocks, names, ports, the kernel's log",
       Reach::refused,
       {"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "swapon",
        "swapoff", "quotactl", "quotactl_fd", "acct", "settimeofday", "clock_settime", "clock_adjtime",
        "adjtimex", "sethostname", "setdomainname", "ioperm", "iopl", "vhangup", "syslog", "sysfs", "ustat",
        "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules"}},
      {"files by handle, whole mounts", "handles walk around the mount tree; fanotify watches whole mounts",
       Reach::refused,
       {"open_by_handle_at", "name_to_handle_at", "fanotify_init", "fanotify_mark"}},
      {"memory placement", "NUMA nodes are the host's", Reach::refused,
       {"mbind", "move_pages", "migrate_pages", "set_mempolicy", "set_mempolicy_home_node"}},

      {"calls that hide their arguments",
       "clone3 has its flags in memory, where a filter cannot see them; every libc then takes clone",
       Reach::absent,
       {"clone3"}},
  };
}

std::vector<ArgumentRule> make_rules() {
  using Is = Look::Is;
  return {
      {"clone", "flags with a new namespace", "as for `unshare`", EPERM,
       {{Is::with_any_bit_of, 0, {new_namespaces}}}},
      {"ioctl", "`TIOCSTI`, `TIOCLINUX`, `TIOCSETD`",
       "types into somebody's terminal, the same through the console's selection, loads line disciplines", EPERM,
       {{Is::one_of, 1, {tiocsti, tioclinux, tiocsetd}}}},
      {"personality", "anything but asking and the plain one", "turns off protections of the own process", EPERM,
       {{Is::none_of, 0, {0, ask_persona}}}},
      {"prlimit64", "any process but the calling one",
       "a plain user's init has the agent's id: its limits would decide whether anything can still be started",
       EPERM,
       {{Is::none_of, 0, {0}}}},
      {"socket", "families other than unix, IPv4, IPv6, netlink",
       "vsock reaches the hypervisor from any network namespace; packet, alg, tipc, can... load modules",
       EAFNOSUPPORT,
       {{Is::none_of, 0, {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}}}},
      {"socket", "netlink other than routes", "audit, netfilter, crypto...", EPERM,
       {{Is::one_of, 0, {AF_NETLINK}}, {Is::none_of, 2, {0}}}},
      {"socket", "IPv4 and IPv6 as raw sockets", "the capability for them is missing, too", EPERM,
       {{Is::one_of, 0, {AF_INET, AF_INET6}}, {Is::one_of, 1, {SOCK_RAW}, type_without_flags}}},
      {"socket", "IPv4 and IPv6 other than streams and datagrams", "SCTP and DCCP load modules", ESOCKTNOSUPPORT,
       {{Is::one_of, 0, {AF_INET, AF_INET6}},
        {Is::none_of, 1, {SOCK_STREAM, SOCK_DGRAM}, type_without_flags}}},
      {"socket", "IPv4 and IPv6 protocols other than TCP, UDP and ICMP", "SCTP, DCCP, L2TP, MPTCP load modules",
       EPROTONOSUPPORT,
       {{Is::one_of, 0, {AF_INET, AF_INET6}}, {Is::none_of, 2, {0, 1, 6, 17, 58}}}},
      {"socketpair", "families other than unix", "there are no others but TIPC", EAFNOSUPPORT,
       {{Is::none_of, 0, {AF_UNIX}}}},
  };
}

}  // namespace

const std::vector<CallGroup>& call_groups() {
  static const auto groups = make_groups();
  return groups;
}

const std::vector<ArgumentRule>& argument_rules() {
  static const auto rules = make_rules();
  return rules;
}

const std::vector<NewCall>& new_calls() {
  static const std::vector<NewCall> calls = {
      {"cachestat", 451},     {"fchmodat2", 452},         {"map_shadow_stack", 453},  {"futex_wake", 454},
      {"futex_wait", 455},    {"futex_requeue", 456},     {"statmount", 457},         {"listmount", 458},
      {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
      {"setxattrat", 463},    {"getxattrat", 464},        {"listxattrat", 465},       {"removexattrat", 466},
      {"open_tree_attr", 467}, {"file_getattr", 468},     {"file_setattr", 469}};
  return calls;
}

}  // namespace agentrouter::sandbox
