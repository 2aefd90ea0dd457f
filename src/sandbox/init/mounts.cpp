#include "sandbox/init/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/init/stages.h"
#include "sandbox/init/system.h"

namespace agentrouter::sandbox::init {
namespace {

constexpr unsigned max_path = 1100;  // launchers refuse longer ones

void make_file(const char* path, const char* bytes, unsigned size, mode_t mode) {
  const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
  require(fd >= 0, "make file", path);
  require(write(fd, bytes, size) == static_cast<ssize_t>(size), "write file", path);
  close(fd);
}

// A folder on the way to a fixed file in the home, as the agent's own, and as a mount point: what is a mount
// point can be neither renamed nor removed, so the file cannot be put aside with the folder around it.
void pin_folder(const char* path) {
  require(mkdir(path, 0755) == 0 || errno == EEXIST, "make folder", path);
  const int tree = clone_tree(AT_FDCWD, path, true);
  require(tree >= 0 && attach(tree, path), "pin folder", path);
  close(tree);
}

void fix_file_in_home(const char* path, const char* content, unsigned size, unsigned number) {
  char own[32], part[max_path];
  snprintf(own, sizeof own, "../file%u", number);
  make_file(own, content, size, 0444);
  snprintf(part, sizeof part, "%s", path);
  const auto agent = geteuid() == 0 ? 1000u : geteuid();
  setfsgid(agent);
  setfsuid(agent);
  for (char* slash = strchr(part + strlen("home/agent/"), '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    pin_folder(part);
    *slash = '/';
  }
  make_mount_point(path, 0444);
  setfsuid(geteuid());
  setfsgid(getegid());
  const int tree = clone_tree(AT_FDCWD, own, false);
  require(tree >= 0 && set_attributes(tree, read_only) && attach(tree, path), "fix file", path);
  close(tree);
}

}  // namespace

int clone_tree(int at, const char* path, bool recursive) {
  return static_cast<int>(
      syscall(SYS_open_tree, at, path,
              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (recursive ? AT_RECURSIVE : 0)));
}

bool set_attributes(int tree, std::uint64_t attributes) {
  mount_attr wanted{};
  wanted.attr_set = attributes;
  return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted, sizeof wanted) == 0;
}

bool attach(int tree, const char* to) {
  return syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

void make_parents(const char* path) {
  char part[max_path];
  snprintf(part, sizeof part, "%s", path);
  for (char* slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    require(mkdir(part, 0755) == 0 || errno == EEXIST, "make folder", part);
    *slash = '/';
  }
}

void mount_new(const char* type, const char* to, unsigned long flags, const char* options) {
  require(mount(type, to, type, flags, options) == 0, "mount", to);
}

void make_mount_point(const char* path, mode_t mode) {
  const int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
  require(fd >= 0, "make file", path);
  close(fd);
}

void make_files(const Spec& spec, Files which) {
  for (unsigned i = 0; i < spec.file_count && i < max_files; ++i) {
    const char* path = text_at(spec, spec.files[i].path) + 1;
    const char* content = text_at(spec, spec.files[i].content);
    const bool in_home = strncmp(path, "home/agent/", 11) == 0;
    if (in_home != (which == Files::of_home)) continue;
    if (in_home) {
      fix_file_in_home(path, content, spec.files[i].size, i);
    } else {
      make_parents(path);
      make_file(path, content, spec.files[i].size, 0444);
    }
  }
}

}  // namespace agentrouter::sandbox::init
