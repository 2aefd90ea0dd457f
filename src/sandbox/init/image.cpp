#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sandbox/init/mounts.h"
#include "sandbox/init/stages.h"
#include "sandbox/init/system.h"

// A root from an image: a read-only overlay of the image and, above it, a skeleton of all that init itself puts
// somewhere. What stands in the skeleton is a folder or a file of ours whatever the image has there, so no link of the
// image leads a mount astray; and mountinfo inside names nothing of the host.

namespace agentrouter::sandbox::init {
namespace {

int loader = -1;
int libraries[max_libraries];
unsigned library_count = 0;

void make_image_folders(const Spec& spec) {
  static const char* const folders[] = {"proc", "dev",  "tmp", "workspace", "home", "home/agent",
                                        "etc",  "opt",  "var"};
  for (const auto* folder : folders) require(mkdir(folder, 0755) == 0, "make folder", folder);
  require(symlink("/tmp", "var/tmp") == 0, "make links");
  for (unsigned i = 0; i < spec.bind_count; ++i) {
    const char* to = text_at(spec, spec.binds[i].to) + 1;
    make_parents(to);
    if (spec.binds[i].is_folder) {
      require(mkdir(to, 0755) == 0 || errno == EEXIST, "make folder", to);
    } else {
      make_mount_point(to, 0644);
    }
  }
  for (unsigned i = 0; i < spec.emptied_count; ++i) {
    const char* path = text_at(spec, spec.emptied[i]) + 1;
    make_parents(path);
    require(mkdir(path, 0755) == 0 || errno == EEXIST, "make folder", path);
  }
  make_files(spec, Files::of_root);
}

void hide_folders(const Spec& spec) {
  for (unsigned i = 0; i < spec.emptied_count; ++i) {
    mount_new("tmpfs", text_at(spec, spec.emptied[i]) + 1, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
              "mode=0755,size=4k,nr_inodes=1");
  }
}

int keep_high(int fd) {
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, 64);
  require(high >= 0, "keep the libraries");
  close(fd);
  return high;
}

}  // namespace

void enter_image(const Setup& setup, int image) {
  static const char* const parts[] = {"skeleton", "image"};
  for (const auto* part : parts) require(mkdir(part, 0755) == 0, "make folder", part);
  require(chdir("skeleton") == 0, "enter the skeleton");
  make_image_folders(setup.spec);
  require(chdir("..") == 0, "leave the skeleton");
  require(attach(image, "image"), "attach the image");
  close(image);
  require(mount("overlay", "root", "overlay", MS_NOSUID | MS_NODEV | MS_RDONLY, "lowerdir=skeleton:image,userxattr") == 0,
          "mount the image");
  require(chdir("root") == 0, "enter the image");
  hide_folders(setup.spec);
  mount_new("tmpfs", "dev", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k,nr_inodes=64");
}

void close_image() {
  require(mount(nullptr, "dev", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, nullptr) == 0,
          "close to writing", "dev");
}

void keep_libraries(const int* trees, unsigned count) {
  if (count == 0) return;
  loader = keep_high(trees[0]);
  for (unsigned i = 1; i < count; ++i) libraries[library_count++] = keep_high(trees[i]);
}

int library_fd(unsigned index) {
  if (index == 0) return loader;
  return index <= library_count ? libraries[index - 1] : -1;
}

void execute_program(int program, char** argv, char** envp) {
  if (loader < 0) {
    syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
    return;
  }
  static char* whole[max_strings + 6];
  static char path[64], folders[64 * max_libraries];
  static char name[] = "loader", library_path[] = "--library-path", argv0[] = "--argv0";
  unsigned used = 0;
  for (unsigned i = 0; i < library_count; ++i) {
    fcntl(libraries[i], F_SETFD, 0);
    used += static_cast<unsigned>(
        snprintf(folders + used, sizeof folders - used, "%s/proc/self/fd/%d", i == 0 ? "" : ":", libraries[i]));
  }
  fcntl(program, F_SETFD, 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", program);
  char** next = whole;
  char* const before[] = {name, library_path, folders, argv0, argv[0], path};
  for (char* part : before) *next++ = part;
  for (char** rest = argv + 1; *rest; ++rest) *next++ = *rest;
  *next = nullptr;
  syscall(SYS_execveat, loader, "", whole, envp, AT_EMPTY_PATH);
}

}  // namespace agentrouter::sandbox::init
