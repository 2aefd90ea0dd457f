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

// The order matters: sources are opened while the host's tree is still there. A tmpfs, the workbench, takes the place of
// the host's /usr; the new root is a mount in it, built with relative paths only, and overlays are mounted from folders
// beside it ("../lower"), so that mountinfo names nothing of the host. All of it goes with the host's root, before
// anything else runs, in a single step: each time that something is unmounted the kernel waits for all processors.

namespace agentrouter::sandbox::init {
namespace {

constexpr unsigned max_path = 1100;  // launchers refuse longer ones

constexpr std::uint64_t plain_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr std::uint64_t read_only = plain_attributes | MOUNT_ATTR_RDONLY;

bool set_attributes(int tree, std::uint64_t attributes) {
  mount_attr wanted{};
  wanted.attr_set = attributes;
  return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted, sizeof wanted) == 0;
}

bool same_file(int a, int b) {
  struct stat x{}, y{};
  return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

// A mount of its own for source `index`.
int open_source(const Setup& setup, const int* sources, unsigned index, std::uint64_t attributes,
                const char* what) {
  if (!setup.own_map) return sources[index];
  const char* path = setup.host_paths + setup.host_path[index];
  const int tree = clone_tree(AT_FDCWD, path, true);
  require(tree >= 0, "open", what);
  errno = ESTALE;
  require(same_file(tree, sources[index]), "open", what);
  require(set_attributes(tree, attributes), "close to writing", what);
  close(sources[index]);
  return tree;
}

void make_file(const char* path, const char* bytes, unsigned size, mode_t mode) {
  const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
  require(fd >= 0, "make file", path);
  require(write(fd, bytes, size) == static_cast<ssize_t>(size), "write file", path);
  close(fd);
}

void mount_tmpfs(const char* to, std::uint64_t bytes, unsigned inodes) {
  char options[128];
  snprintf(options, sizeof options, "mode=1777,size=%llu,nr_inodes=%u",
           static_cast<unsigned long long>(bytes), inodes);
  mount_new("tmpfs", to, MS_NOSUID | MS_NODEV, options);
}

void make_workbench() {
  mount_new("tmpfs", "/usr", MS_NOSUID | MS_NODEV, "mode=0755,size=64m,nr_inodes=16384");
  require(chdir("/usr") == 0, "enter the workbench");
  static const char* const folders[] = {"root", "none", "attempt", "lower", "kept"};
  for (const auto* folder : folders) require(mkdir(folder, 0755) == 0, "make folder", folder);
}

void make_skeleton(const Spec& spec) {
  mount_new("tmpfs", "root", MS_NOSUID | MS_NODEV, "mode=0755,size=64m,nr_inodes=16384");
  require(chdir("root") == 0, "enter the new root");
  static const char* const folders[] = {"proc", "dev", "tmp",  "workspace", "home", "home/agent", "etc", "run",
                                        "var",  "root", "opt", "mnt",       "srv"};
  for (const auto* folder : folders) require(mkdir(folder, 0755) == 0, "make folder", folder);
  require(symlink("/tmp", "var/tmp") == 0 && symlink("/run", "var/run") == 0, "make links");
  for (unsigned i = 0; i < spec.link_count && i < max_links; ++i) {
    const char* path = text_at(spec, spec.links[i].path) + 1;
    make_parents(path);
    require(symlink(text_at(spec, spec.links[i].target), path) == 0, "make link", path);
  }
}

// A read-only overlay of the source alone: inside it looks like a bind, but nothing tells where it came from.
void attach_veiled(int tree, const char* to, unsigned number) {
  char own[24], options[64];
  snprintf(own, sizeof own, "../veiled%u", number);
  require(mkdir(own, 0755) == 0 && attach(tree, own), "attach", to);
  snprintf(options, sizeof options, "lowerdir=%s:../none,userxattr", own);
  require(mount("overlay", to, "overlay", MS_NOSUID | MS_NODEV | MS_RDONLY, options) == 0, "mount", to);
}

void attach_binds(const Spec& spec, const int* trees) {
  for (unsigned i = 0; i < spec.bind_count; ++i) {
    const char* to = text_at(spec, spec.binds[i].to) + 1;
    const int tree = trees[i];
    make_parents(to);
    if (spec.binds[i].is_folder) {
      require(mkdir(to, 0755) == 0 || errno == EEXIST, "make folder", to);
    } else {
      make_mount_point(to, 0644);
    }
    if (spec.binds[i].veiled) {
      attach_veiled(tree, to, i);
    } else {
      require(attach(tree, to), "attach", to);
    }
    close(tree);
  }
}

void mount_devices(const Spec& spec, const int* devices, const char* const* names, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    char path[32];
    snprintf(path, sizeof path, "dev/%s", names[i]);
    make_mount_point(path, 0666);
    require(attach(devices[i], path), "attach", path);
    close(devices[i]);
  }
  require(symlink("/proc/self/fd", "dev/fd") == 0 && symlink("/proc/self/fd/0", "dev/stdin") == 0 &&
              symlink("/proc/self/fd/1", "dev/stdout") == 0 &&
              symlink("/proc/self/fd/2", "dev/stderr") == 0 && symlink("pts/ptmx", "dev/ptmx") == 0,
          "make links in dev");
  require(mkdir("dev/pts", 0755) == 0 && mkdir("dev/shm", 0755) == 0, "make folders in dev");
  mount_new("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mount_tmpfs("dev/shm", spec.shm_bytes, 16384);
}

// volatile: what the run leaves is collected before the end, and a machine that loses power loses the attempt
// anyway. Without it, unmounting would write every changed file to the disk that is about to be removed from
// it.
void mount_overlay(const char* to, const char* lower, const char* upper, const char* work, bool fixed) {
  char options[1024];
  snprintf(options, sizeof options,
           "lowerdir=%s,upperdir=%s,workdir=%s,userxattr,index=off,metacopy=off,nfs_export=off%s", lower,
           upper, work, fixed ? "" : ",volatile");
  require(mount("overlay", to, "overlay", MS_NOSUID | MS_NODEV | (fixed ? MS_RDONLY : 0), options) == 0,
          "mount the overlay", to);
}

constexpr unsigned place_size = 48;

// Where layer `number` has its part `name`: 0 is the attempt's own, 1... are the kept ones.
void name_layer(char (&place)[place_size], unsigned number, const char* name) {
  if (number == 0) {
    snprintf(place, sizeof place, "../attempt/box/%s", name);
  } else {
    snprintf(place, sizeof place, "../kept/%u/%s", number, name);
  }
}

void attach_kept_layers(const int* layers, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    char place[place_size];
    snprintf(place, sizeof place, "../kept/%u", i + 1);
    require(mkdir(place, 0755) == 0 && attach(layers[i], place), "attach a kept layer");
    close(layers[i]);
  }
}

// "../kept/1/upper:../kept/2/upper:LOWEST"
void list_lowers(char (&list)[768], const char* name, unsigned count, const char* lowest) {
  unsigned used = 0;
  for (unsigned i = 1; i <= count; ++i) {
    char place[place_size];
    name_layer(place, i, name);
    used += static_cast<unsigned>(snprintf(list + used, sizeof list - used, "%s:", place));
  }
  snprintf(list + used, sizeof list - used, "%s", lowest);
}

int stack_of(const char* name, unsigned count) {
  constexpr auto attributes = read_only | MOUNT_ATTR_NOEXEC;
  char stack[place_size], part[place_size];
  snprintf(stack, sizeof stack, "../%s", name);
  require(mkdir(stack, 0755) == 0, "make folder", stack);
  for (unsigned i = 0; i <= count; ++i) {
    char place[place_size];
    name_layer(place, i, name);
    snprintf(part, sizeof part, "../%s/%u", name, i);
    const int tree = clone_tree(AT_FDCWD, place, false);
    require(tree >= 0 && mkdir(part, 0755) == 0 && attach(tree, part), "keep a layer for the collector");
    close(tree);
  }
  const int whole = clone_tree(AT_FDCWD, stack, true);
  require(whole >= 0 && set_attributes(whole, attributes), "keep the layers for the collector");
  return whole;
}

Grounds mount_grounds(const Setup& setup, int attempt, int lower, const int* layers) {
  const auto count = setup.spec.layer_count, home_count = setup.spec.home_layers;
  require(attach(attempt, "../attempt"), "attach the attempt's folder");
  require(attach(lower, "../lower"), "attach the workspace's lower folder");
  close(attempt);
  close(lower);
  attach_kept_layers(layers, count);
  char lowers[768];
  list_lowers(lowers, "upper", count, "../lower");
  mount_overlay("workspace", lowers, "../attempt/box/upper", "../attempt/work",
                setup.spec.read_only_workspace != 0);
  list_lowers(lowers, "home", home_count, "../none");
  mount_overlay("home/agent", lowers, "../attempt/box/home", "../attempt/work-home", false);
  Grounds grounds;
  grounds.lower = clone_tree(AT_FDCWD, "../lower", false);
  require(grounds.lower >= 0 && set_attributes(grounds.lower, read_only | MOUNT_ATTR_NOEXEC),
          "keep the layers for the collector");
  grounds.upper = stack_of("upper", count);
  grounds.home = stack_of("home", home_count);
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  grounds.written_workspace = openat(grounds.upper, "0", flags);
  grounds.written_home = openat(grounds.home, "0", flags);
  require(grounds.written_workspace >= 0 && grounds.written_home >= 0, "open what the agent writes");
  return grounds;
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

void mask_proc() {
  static const char* const fixed[] = {"proc/sys", "proc/bus", "proc/fs", "proc/irq"};
  for (const auto* path : fixed) {
    const int tree = clone_tree(AT_FDCWD, path, false);
    if (tree < 0 && errno == ENOENT) continue;
    require(tree >= 0 && set_attributes(tree, read_only | MOUNT_ATTR_NOEXEC) && attach(tree, path),
            "close to writing", path);
    close(tree);
  }
  static const char* const hidden[] = {"proc/kcore",       "proc/kmsg",          "proc/keys",
                                       "proc/key-users",   "proc/sysrq-trigger", "proc/timer_list",
                                       "proc/sched_debug", "proc/latency_stats", "proc/kallsyms"};
  for (const auto* path : hidden) {
    if (access(path, F_OK) != 0) continue;
    const int tree = clone_tree(AT_FDCWD, "dev/null", false);
    require(tree >= 0 && attach(tree, path), "hide", path);
    close(tree);
  }
}

}  // namespace

int clone_tree(int at, const char* path, bool recursive) {
  return static_cast<int>(
      syscall(SYS_open_tree, at, path,
              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (recursive ? AT_RECURSIVE : 0)));
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

Grounds build_root(const Setup& setup, const int* sources) {
  require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0,
          "make the mount namespace private");
  umask(0);
  static const char* const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
  constexpr unsigned device_count = sizeof devices / sizeof devices[0];
  int device_trees[device_count];
  for (unsigned i = 0; i < device_count; ++i) {
    char path[32];
    snprintf(path, sizeof path, "/dev/%s", devices[i]);
    device_trees[i] = clone_tree(AT_FDCWD, path, false);
    require(device_trees[i] >= 0, "open", path);
  }
  const int attempt = open_source(setup, sources, 0, plain_attributes, "the attempt's folder");
  const int lower = open_source(setup, sources, 1, read_only, "the workspace's lower folder");
  int layers[max_layers], trees[max_binds], image[2 + max_libraries];
  const unsigned layer_count = setup.spec.layer_count;
  for (unsigned i = 0; i < layer_count; ++i)
    layers[i] = open_source(setup, sources, i + 2, read_only, "a kept layer");
  for (unsigned i = 0; i < setup.spec.bind_count; ++i) {
    trees[i] = open_source(setup, sources, i + 2 + layer_count, read_only,
                           text_at(setup.spec, setup.spec.binds[i].to));
  }
  const unsigned image_count = count_image(setup.spec);
  for (unsigned i = 0; i < image_count; ++i)
    image[i] = open_source(setup, sources, i + 2 + layer_count + setup.spec.bind_count, read_only, "the image");
#if AGENTROUTER_WEAK_INIT
  const int host = clone_tree(AT_FDCWD, "/", true);
  const int host_tmp = clone_tree(AT_FDCWD, "/tmp", true);
  const int host_proc = clone_tree(AT_FDCWD, "/proc", true);
#endif
  make_workbench();
  if (image_count > 0) {
    enter_image(setup, image[0]);
    keep_libraries(image + 1, image_count - 1);
  } else {
    make_skeleton(setup.spec);
  }
  attach_binds(setup.spec, trees);
  mount_new("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  mount_devices(setup.spec, device_trees, devices, device_count);
#if AGENTROUTER_WEAK_INIT
  if (!(setup.weakening & weaken_keep_capabilities))
#endif
    mask_proc();
  mount_tmpfs("tmp", setup.spec.tmp_bytes, setup.spec.tmp_inodes);
  const auto grounds = mount_grounds(setup, attempt, lower, layers);
  if (image_count == 0) make_files(setup.spec, Files::of_root);
  make_files(setup.spec, Files::of_home);
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_host_view) {
    require(attach(host, "mnt") && attach(host_tmp, "tmp"), "weaken the view");
  }
  if (setup.weakening & weaken_host_processes) require(attach(host_proc, "proc"), "weaken the view");
#endif
  if (image_count > 0) close_image();
  require(syscall(SYS_pivot_root, ".", ".") == 0, "enter the new root");
  require(umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "leave the host's root");
  require(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) == 0,
          "close the root to writing");
  umask(022);
  return grounds;
}

}  // namespace agentrouter::sandbox::init
