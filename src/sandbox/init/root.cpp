#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "sandbox/init/mounts.h"
#include "sandbox/init/system.h"

// The order matters: sources are opened while the host's tree is still there. A tmpfs, the workbench, takes the place of
// the host's /usr; the new root is a mount in it, built with relative paths only, and overlays are mounted from folders
// beside it ("../lower"), so that mountinfo names nothing of the host. All of it goes with the host's root, before
// anything else runs, in a single step: each time that something is unmounted the kernel waits for all processors.
//
// Two steps, between which init may wait for its run: what many runs have in common, and what is this run's alone. Until
// the second one is done the host's root is still there, and nothing but init has ever run here.

namespace agentrouter::sandbox::init {
namespace {

constexpr const char* devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
constexpr unsigned device_count = sizeof devices / sizeof devices[0];

#if AGENTROUTER_WEAK_INIT
int host_tree = -1, host_tmp_tree = -1, host_proc_tree = -1;
#endif

// Mounts of their own, where the set-up's part has them.
struct Sources {
  int attempt = -1;
  int lower = -1;
  int layers[max_layers];
  int binds[max_binds];
  int image[2 + max_libraries];
};

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

bool in_part(const Setup& setup, const BindSpec& bind) {
  return setup.part == part_whole || (bind.of_run != 0) == (setup.part == part_run);
}

Sources open_sources(const Setup& setup, const int* fds) {
  Sources to;
  unsigned next = 0;
  const auto open_next = [&](std::uint64_t attributes, const char* what) {
    const unsigned index = next++;
    return open_source(setup, fds, index, attributes, what);
  };
  if (setup.part != part_common) {
    to.attempt = open_next(plain_attributes, "the attempt's folder");
    to.lower = open_next(read_only, "the workspace's lower folder");
    for (unsigned i = 0; i < setup.spec.layer_count; ++i) to.layers[i] = open_next(read_only, "a kept layer");
  }
  for (unsigned i = 0; i < setup.spec.bind_count; ++i) {
    const auto& bind = setup.spec.binds[i];
    if (in_part(setup, bind)) to.binds[i] = open_next(read_only, text_at(setup.spec, bind.to));
  }
  for (unsigned i = 0; i < count_image(setup.spec); ++i) to.image[i] = open_next(read_only, "the image");
  return to;
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
void attach_veiled(int tree, const char* to) {
  static unsigned number = 0;
  char own[24], options[64];
  snprintf(own, sizeof own, "../veiled%u", number++);
  require(mkdir(own, 0755) == 0 && attach(tree, own), "attach", to);
  snprintf(options, sizeof options, "lowerdir=%s:../none,userxattr", own);
  require(mount("overlay", to, "overlay", MS_NOSUID | MS_NODEV | MS_RDONLY, options) == 0, "mount", to);
}

void attach_binds(const Spec& spec, const int* trees, bool of_run) {
  for (unsigned i = 0; i < spec.bind_count; ++i) {
    if ((spec.binds[i].of_run != 0) != of_run) continue;
    const char* to = text_at(spec, spec.binds[i].to) + 1;
    const int tree = trees[i];
    make_parents(to);
    if (spec.binds[i].is_folder) {
      require(mkdir(to, 0755) == 0 || errno == EEXIST, "make folder", to);
    } else {
      make_mount_point(to, 0644);
    }
    if (spec.binds[i].veiled) {
      attach_veiled(tree, to);
    } else {
      require(attach(tree, to), "attach", to);
    }
    close(tree);
  }
}

void mount_devices(const Spec& spec, const int* trees) {
  for (unsigned i = 0; i < device_count; ++i) {
    char path[32];
    snprintf(path, sizeof path, "dev/%s", devices[i]);
    make_mount_point(path, 0666);
    require(attach(trees[i], path), "attach", path);
    close(trees[i]);
  }
  require(symlink("/proc/self/fd", "dev/fd") == 0 && symlink("/proc/self/fd/0", "dev/stdin") == 0 &&
              symlink("/proc/self/fd/1", "dev/stdout") == 0 &&
              symlink("/proc/self/fd/2", "dev/stderr") == 0 && symlink("pts/ptmx", "dev/ptmx") == 0,
          "make links in dev");
  require(mkdir("dev/pts", 0755) == 0 && mkdir("dev/shm", 0755) == 0, "make folders in dev");
  mount_new("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,max=64");
  mount_tmpfs("dev/shm", spec.shm_bytes, 16384);
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
  static const char* const hidden[] = {
      "proc/kcore",      "proc/kmsg",        "proc/keys",          "proc/key-users", "proc/sysrq-trigger",
      "proc/timer_list", "proc/sched_debug", "proc/latency_stats", "proc/kallsyms",  "proc/cmdline",
      "proc/config.gz",  "proc/partitions",  "proc/diskstats",     "proc/swaps"};
  for (const auto* path : hidden) {
    require(mount("dev/null", path, nullptr, MS_BIND, nullptr) == 0 || errno == ENOENT, "hide", path);
  }
}

void open_devices(int (&trees)[device_count]) {
  for (unsigned i = 0; i < device_count; ++i) {
    char path[32];
    snprintf(path, sizeof path, "/dev/%s", devices[i]);
    trees[i] = clone_tree(AT_FDCWD, path, false);
    require(trees[i] >= 0, "open", path);
  }
}

// The run's sources: those of the first set-up, or, where there were two, of the second.
Sources of_the_run;

}  // namespace

unsigned count_sources(const Setup& setup) {
  unsigned count = count_image(setup.spec) + (setup.part == part_common ? 0 : 2 + setup.spec.layer_count);
  for (unsigned i = 0; i < setup.spec.bind_count; ++i) count += in_part(setup, setup.spec.binds[i]) ? 1 : 0;
  return count;
}

void prepare_root(const Setup& setup, const int* fds) {
  require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0,
          "make the mount namespace private");
  umask(0);
  int device_trees[device_count];
  open_devices(device_trees);
  const auto sources = open_sources(setup, fds);
#if AGENTROUTER_WEAK_INIT
  host_tree = clone_tree(AT_FDCWD, "/", true);
  host_tmp_tree = clone_tree(AT_FDCWD, "/tmp", true);
  host_proc_tree = clone_tree(AT_FDCWD, "/proc", true);
#endif
  make_workbench();
  if (setup.spec.has_image) {
    enter_image(setup, sources.image[0]);
    keep_libraries(sources.image + 1, count_image(setup.spec) - 1);
  } else {
    make_skeleton(setup.spec);
  }
  attach_binds(setup.spec, sources.binds, false);
  mount_new("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  mount_devices(setup.spec, device_trees);
#if AGENTROUTER_WEAK_INIT
  if (!(setup.weakening & weaken_keep_capabilities))
#endif
    mask_proc();
  mount_tmpfs("tmp", setup.spec.tmp_bytes, setup.spec.tmp_inodes);
  of_the_run = sources;
}

void open_run_sources(const Setup& setup, const int* fds) {
  of_the_run = open_sources(setup, fds);
}

Grounds enter_root(const Setup& setup) {
  const auto& sources = of_the_run;
  attach_binds(setup.spec, sources.binds, true);
  const auto grounds = mount_grounds(setup, sources.attempt, sources.lower, sources.layers);
  if (!setup.spec.has_image) make_files(setup.spec, Files::of_root);
  make_files(setup.spec, Files::of_home);
#if AGENTROUTER_WEAK_INIT
  if (setup.weakening & weaken_host_view) {
    require(attach(host_tree, "mnt") && attach(host_tmp_tree, "tmp"), "weaken the view");
  }
  if (setup.weakening & weaken_host_processes) require(attach(host_proc_tree, "proc"), "weaken the view");
#endif
  if (setup.spec.has_image) close_image();
  require(syscall(SYS_pivot_root, ".", ".") == 0, "enter the new root");
  require(umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "leave the host's root");
  require(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) == 0,
          "close the root to writing");
  umask(022);
  return grounds;
}

}  // namespace agentrouter::sandbox::init
