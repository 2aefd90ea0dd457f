#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "sandbox/init/stages.h"
#include "sandbox/init/system.h"

namespace agentrouter::sandbox::init {
namespace {

constexpr unsigned agent_id = 1000;

constexpr std::uint32_t collector_caps =
    1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER;
// Serving needs: kill(-1) over the agent's uid, becoming the agent, dropping for it, and what it hands on; and
// to see which files its processes hold open (CAP_SYS_PTRACE; seccomp takes ptrace(2) itself away).
constexpr std::uint32_t serving_caps = collector_caps | 1u << CAP_KILL | 1u << CAP_SETUID |
                                       1u << CAP_SETGID | 1u << CAP_SETPCAP | 1u << CAP_SYS_PTRACE;

bool set_caps(std::uint32_t caps) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {{caps, caps, caps}, {0, 0, 0}};
  return syscall(SYS_capset, &header, data) == 0;
}

bool drop_bounding_but(std::uint32_t caps) {
  for (int cap = 0; cap < 64; ++cap) {
    if (cap < 32 && (caps >> cap & 1)) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;
      return false;
    }
  }
  return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0;
}

void limit(int resource, std::uint64_t value, const char* name) {
  rlimit now{};
  require(getrlimit(static_cast<__rlimit_resource>(resource), &now) == 0, "read the limit of", name);
  const rlim_t wanted = now.rlim_max != RLIM_INFINITY && value > now.rlim_max ? now.rlim_max : value;
  const rlimit both{wanted, wanted};
  require(setrlimit(static_cast<__rlimit_resource>(resource), &both) == 0, "set the limit of", name);
}

// Of a plain user init, agent, keeper and server have one count of descriptors that are under way in sockets,
// and each may send while the count is under its own limit: init's stays above what the agent's programs get.
void keep_descriptors() {
  rlimit now{};
  require(getrlimit(RLIMIT_NOFILE, &now) == 0, "read the limit of", "open files");
  now.rlim_cur = now.rlim_max;
  require(setrlimit(RLIMIT_NOFILE, &now) == 0, "set the limit of", "open files");
}

bool install(const sock_filter* filter, std::uint32_t size) {
  sock_fprog program{static_cast<unsigned short>(size), const_cast<sock_filter*>(filter)};
  errno = EINVAL;
  return size > 0 && size <= max_filter && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

}  // namespace

// What the kernel counts for the server's own account, of which one sandbox gets a part. Where init may not
// say so, it is as it was.
void share_watches() {
  std::ignore = write_file("/proc/sys/user/max_inotify_instances", "32");
  std::ignore = write_file("/proc/sys/user/max_inotify_watches", "16384");
}

void take_ids(const Setup& setup) {
  if (setup.guest) {
    // The runtime has taken them.
    share_watches();
  } else if (setup.own_map) {
    char line[64];
    require(write_file("/proc/self/setgroups", "deny"), "make the user namespace", "(setgroups)");
    snprintf(line, sizeof line, "%u %u 1", agent_id, setup.host_uid);
    require(write_file("/proc/self/uid_map", line), "make the user namespace", "(uid_map)");
    snprintf(line, sizeof line, "%u %u 1", agent_id, setup.host_gid);
    require(write_file("/proc/self/gid_map", line), "make the user namespace", "(gid_map)");
    share_watches();
  } else {
    require(setgroups(0, nullptr) == 0, "leave the host's groups");
    require(setresgid(0, 0, 0) == 0, "take the sandbox's group id");
    require(setresuid(0, 0, 0) == 0, "take the sandbox's user id");
  }
  // Here, not at clone: with cgroup v1 init is only now in its own group, which becomes the root it sees.
  require(unshare(CLONE_NEWCGROUP) == 0, "make the cgroup namespace");
}

int open_network(const Setup& setup) {
  require(sethostname("sandbox", 7) == 0, "set the host name");
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  require(any >= 0, "open the loopback interface");
  ifreq interface{};
  strcpy(interface.ifr_name, "lo");
  require(ioctl(any, SIOCGIFFLAGS, &interface) == 0, "read the loopback interface");
  interface.ifr_flags |= IFF_UP;
#if AGENTROUTER_WEAK_INIT
  if (!(setup.weakening & weaken_host_network))
#endif
    require(ioctl(any, SIOCSIFFLAGS, &interface) == 0, "start the loopback interface");
  close(any);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  require(listener >= 0, "open the listener");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(setup.port));
  address.sin_addr.s_addr = setup.address;
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_host_network) address.sin_port = 0;
#endif
  if (setup.spec.outbound_count > 0) share_port(listener);
  require(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind the listener");
  require(listen(listener, 256) == 0, "open the listener");
  return listener;
}

void confine(const Setup& setup) {
  // All of the sandbox goes before anything of the host, and the largest process before init.
  require(write_file("/proc/self/oom_score_adj", "500"), "set the memory priority");
  // 1, not 0: also keeps the kernel from starting the host's core handler.
  limit(RLIMIT_CORE, 1, "core files");
  keep_descriptors();
  limit(RLIMIT_FSIZE, setup.spec.file_bytes, "file size");
#if AGENTROUTER_WEAK_INIT
  if (!(setup.weakening & weaken_no_limits))
#endif
    limit(RLIMIT_NPROC, setup.spec.pids, "processes");
  limit(RLIMIT_MEMLOCK, 64 << 10, "locked memory");
#if AGENTROUTER_WEAK_INIT
  if (!(setup.weakening & weaken_keep_capabilities))
#endif
    require(drop_bounding_but(serving_caps) && set_caps(serving_caps), "drop the capabilities");
  require(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "close init to the agent");
#if AGENTROUTER_WEAK_INIT
  // What is executed then gets every capability of its namespace back.
  constexpr auto both = weaken_keep_capabilities | weaken_no_seccomp;
  if ((setup.weakening & both) != both)
#endif
    require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "set no_new_privs");
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_no_seccomp) return;
#endif
  require(install(setup.filter, setup.filter_size), "install the seccomp filter");
}

bool filter_collector(const Setup& setup) {
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_no_seccomp) return true;
#endif
  return install(setup.collector_filter, setup.collector_filter_size);
}

bool seal_agent(const Setup& setup) {
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_no_seccomp) return true;
#endif
  return install(setup.sealed_filter, setup.sealed_filter_size);
}

bool limit_open_files(const Setup& setup) {
  rlimit now{};
  if (getrlimit(RLIMIT_NOFILE, &now) != 0) return false;
  // Init can send as many as one message takes, and more, when the agent has sent all that it may.
  constexpr rlim_t of_init = 512;
  const rlim_t left = now.rlim_max > 2 * of_init ? now.rlim_max - of_init : now.rlim_max / 2;
  const rlim_t most = setup.spec.open_files < left ? setup.spec.open_files : left;
  const rlimit both{most, most};
  return setrlimit(RLIMIT_NOFILE, &both) == 0;
}

bool become_agent(const Setup& setup) {
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_keep_capabilities) {
    for (int cap = 0; cap < 32; ++cap) {
      prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    }
    return true;
  }
#endif
  if (!drop_bounding_but(0)) return false;
  if (!setup.own_map) {
    if (setresgid(agent_id, agent_id, agent_id) != 0) return false;
    if (setresuid(agent_id, agent_id, agent_id) != 0) return false;
  }
  return set_caps(0);
}

bool become_collector() {
  if (!drop_bounding_but(collector_caps) || !set_caps(collector_caps)) return false;
  for (int cap = 0; cap < 32; ++cap) {
    if (!(collector_caps >> cap & 1)) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) return false;
  }
  return true;
}

}  // namespace agentrouter::sandbox::init
