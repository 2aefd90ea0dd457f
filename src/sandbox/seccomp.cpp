#include "sandbox/seccomp.h"

#include <linux/sched.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/fd.h"

namespace agentrouter::sandbox {
namespace {

using base::Result;

// Refused with EPERM. One line of reason per group.
constexpr const char* refused[] = {
    // Mounts and roots: the view is fixed once init has built it.
    "mount",
    "umount2",
    "umount",
    "pivot_root",
    "chroot",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "statmount",
    "listmount",
    // Namespaces: a nested user namespace gives capabilities over a large part of the kernel.
    "setns",
    "unshare",
    // Key rings are not confined by any namespace.
    "add_key",
    "request_key",
    "keyctl",
    // Large and often faulty kernel interfaces that no build or test needs.
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "memfd_secret",
    "modify_ldt",
    "vm86",
    "vm86old",
    "lookup_dcookie",
    "remap_file_pages",
    // Other processes' memory and descriptors: the agent's programs share one uid.
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    // The machine itself: modules, kexec, power, swap, quota, accounting, clocks, host name, ports.
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "reboot",
    "swapon",
    "swapoff",
    "quotactl",
    "quotactl_fd",
    "acct",
    "settimeofday",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "stime",
    "sethostname",
    "setdomainname",
    "ioperm",
    "iopl",
    "vhangup",
    "syslog",
    "nfsservctl",
    "_sysctl",
    "sysfs",
    "ustat",
    "uselib",
    "lsm_set_self_attr",
    // Files by handle walk around the mount tree; fanotify watches whole mounts.
    "open_by_handle_at",
    "name_to_handle_at",
    "fanotify_init",
    "fanotify_mark",
    // Memory placement across NUMA nodes.
    "mbind",
    "move_pages",
    "migrate_pages",
    "set_mempolicy",
    "set_mempolicy_home_node",
};

constexpr unsigned long new_namespaces[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                            CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

constexpr unsigned long tiocsti = 0x5412;    // types into the terminal of somebody else
constexpr unsigned long tioclinux = 0x541C;  // the same through the console's selection
constexpr unsigned long tiocsetd = 0x5423;   // loads line disciplines

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

int add_refusals(scmp_filter_ctx filter) {
  const auto refusal = SCMP_ACT_ERRNO(EPERM);
  for (const char* name : refused) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) continue;
    // Some names exist only on other machines.
    if (const int rc = seccomp_rule_add(filter, refusal, number, 0); rc != 0 && rc != -EDOM) return rc;
  }
  for (const auto flag : new_namespaces) {
    if (const int rc =
            seccomp_rule_add(filter, refusal, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag))) {
      return rc;
    }
  }
  // Its flags are in memory where a filter cannot see them; every libc falls back to clone.
  if (const int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0)) return rc;
  for (const auto request : {tiocsti, tioclinux, tiocsetd}) {
    if (const int rc = seccomp_rule_add(filter, refusal, SCMP_SYS(ioctl), 1,
                                        SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffUL, request))) {
      return rc;
    }
  }
  // Turning protections of the own process off; asking for the present persona stays possible.
  return seccomp_rule_add(filter, refusal, SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_NE, 0xffffffffUL));
}

// unix, inet, inet6, and netlink for routes only. AF_VSOCK reaches the hypervisor from any network namespace.
int add_socket_rules(scmp_filter_ctx filter) {
  const auto refusal = SCMP_ACT_ERRNO(EAFNOSUPPORT);
  const auto refuse_family = [&](scmp_arg_cmp which) {
    return seccomp_rule_add(filter, refusal, SCMP_SYS(socket), 1, which);
  };
  for (unsigned family = 0; family < AF_NETLINK; ++family) {
    if (family == AF_UNIX || family == AF_INET || family == AF_INET6) continue;
    if (const int rc = refuse_family(SCMP_A0(SCMP_CMP_EQ, family))) return rc;
  }
  if (const int rc = refuse_family(SCMP_A0(SCMP_CMP_GT, AF_NETLINK))) return rc;
  return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 2,
                          SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_NE, 0));
}

Result<std::vector<sock_filter>> compile() {
  const auto failed = [](int rc) {
    return base::fail_errno("cannot compile the seccomp filter", rc < 0 ? -rc : ENOSYS);
  };
  Filter filter(seccomp_init(SCMP_ACT_ALLOW), seccomp_release);
  if (!filter) return failed(-ENOSYS);
  // Calls through the i386 and x32 tables have other numbers: the process is killed.
  if (const int rc = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS))
    return failed(rc);
  if (const int rc = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2)) return failed(rc);
  if (const int rc = add_refusals(filter.get())) return failed(rc);
  if (const int rc = add_socket_rules(filter.get())) return failed(rc);
  auto pipe = base::make_pipe();
  if (!pipe) return tl::unexpected(pipe.error());
  if (const int rc = seccomp_export_bpf(filter.get(), pipe->second.get())) return failed(rc);
  pipe->second.reset();
  auto bytes = base::read_all(pipe->first.get(), 65536);
  if (!bytes) return tl::unexpected(bytes.error());
  std::vector<sock_filter> program(bytes->size() / sizeof(sock_filter));
  std::memcpy(program.data(), bytes->data(), program.size() * sizeof(sock_filter));
  return program;
}

}  // namespace

Result<std::vector<sock_filter>> seccomp_filter() {
  static const auto filter = compile();
  return filter;
}

}  // namespace agentrouter::sandbox
