#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/init/stages.h"
#include "sandbox/init/system.h"

// Before a container runtime: a mount namespace of its own, and in it a tmpfs with the bundle and the runtime's state,
// so that both are gone with the last process. It takes the place of the cgroups, which the runtime is to leave alone.

namespace agentrouter::sandbox::init {
namespace {

constexpr const char* place = "/sys/fs/cgroup";

Stage stage;

void map_ids() {
  char line[64];
  require(write_file("/proc/self/setgroups", "deny"), "make the user namespace", "(setgroups)");
  snprintf(line, sizeof line, "0 %u 1", stage.host_uid);
  require(write_file("/proc/self/uid_map", line), "make the user namespace", "(uid_map)");
  snprintf(line, sizeof line, "0 %u 1", stage.host_gid);
  require(write_file("/proc/self/gid_map", line), "make the user namespace", "(gid_map)");
}

void write_config() {
  const int fd = open("bundle/config.json", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  require(fd >= 0 && write(fd, stage.config, stage.config_size) == static_cast<ssize_t>(stage.config_size),
          "write the container's configuration");
  close(fd);
}

void copy_init() {
  const int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const int to = open("bundle/rootfs/init", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
  struct stat info{};
  require(from >= 0 && to >= 0 && fstat(from, &info) == 0, "put init into the container");
  for (off_t left = info.st_size; left > 0;) {
    const auto sent = sendfile(to, from, nullptr, static_cast<size_t>(left));
    require(sent > 0, "put init into the container");
    left -= sent;
  }
  close(from);
  close(to);
}

}  // namespace

void stage_container() {
  unsigned count = 0;
  const int got = receive(&stage, sizeof stage, nullptr, 0, &count);
  if (got == 0) _exit(0);
  errno = EPROTO;
  require(got == sizeof stage && stage.version == version && stage.config_size <= max_config &&
              memchr(stage.runtime, 0, sizeof stage.runtime) != nullptr,
          "read the container's set-up");
  if (stage.own_map) map_ids();
  require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0,
          "make the mount namespace private");
  require(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0, "mount", "/proc");
  require(mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=8m,nr_inodes=1024") == 0 &&
              chdir(place) == 0,
          "mount", place);
  umask(0);
  static const char* const folders[] = {"bundle",     "bundle/rootfs",     "bundle/rootfs/proc", "bundle/rootfs/dev",
                                        "bundle/rootfs/usr", "bundle/rootfs/sources"};
  for (const auto* folder : folders) require(mkdir(folder, 0755) == 0, "make folder", folder);
  require(mkdir("state", 0700) == 0, "make folder", "state");
  write_config();
  copy_init();
  umask(022);
  char name[] = "crun", root[] = "--root=/sys/fs/cgroup/state", groups[] = "--cgroup-manager=disabled",
       run[] = "run", keep[] = "--preserve-fds=1", bundle[] = "--bundle=/sys/fs/cgroup/bundle", id[] = "sandbox";
  char* const argv[] = {name, root, groups, run, keep, bundle, id, nullptr};
  char* const envp[] = {nullptr};
  require(fcntl(control_fd, F_SETFD, 0) == 0, "pass on the control socket");
  execve(stage.runtime, argv, envp);
  fail("start", stage.runtime);
}

}  // namespace agentrouter::sandbox::init
