#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sandbox/init/disk.h"

namespace agentrouter::sandbox::init {
namespace {

struct Entry {
  std::uint64_t inode;
  std::int64_t next;
  unsigned short size;
  unsigned char type;
  char name[];
};

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
constexpr std::uint64_t share = 65536;
// Descriptors of all processes. Beyond, a count would take so long that it says nothing.
constexpr unsigned most_held = 65'536;

std::uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

bool is_number(const char* text) {
  return *text >= '0' && *text <= '9';
}

}  // namespace

void DiskWalk::begin(const int* folders, unsigned count) {
  close_all();
  folders_ = folders;
  folder_count_ = count;
  next_ = 0;
  sum_ = {};
  shares_ = names_ = 0;
  running_ = true;
}

void DiskWalk::close_all() {
  if (depth_ > open_levels) close(deepest_);
  for (unsigned i = 0; i < depth_ && i < open_levels; ++i) close(fds_[i]);
  depth_ = 0;
  used_ = have_ = 0;
}

bool DiskWalk::next_folder() {
  if (next_ == folder_count_) return false;
  const int fd = openat(folders_[next_++], ".", folder_flags);
  if (fd < 0) return true;
  struct stat info;
  if (fstat(fd, &info) == 0) sum_.bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
  fds_[0] = fd;
  levels_[0] = {0, 0};
  depth_ = 1;
  used_ = have_ = 0;
  return true;
}

// The next name of the folder that is read; false at its end.
bool DiskWalk::next_entry(const char*& name) {
  const int fd = depth_ > open_levels ? deepest_ : fds_[depth_ - 1];
  for (;;) {
    if (used_ == have_) {
      const long got = syscall(SYS_getdents64, fd, buffer_, sizeof buffer_);
      if (got <= 0) return false;
      used_ = 0;
      have_ = static_cast<unsigned>(got);
    }
    const auto* entry = reinterpret_cast<const Entry*>(buffer_ + used_);
    used_ += entry->size;
    levels_[depth_ - 1].at = entry->next;
    if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
    name = entry->name;
    return true;
  }
}

void DiskWalk::count(const char* name) {
  const int fd = depth_ > open_levels ? deepest_ : fds_[depth_ - 1];
  struct stat info;
  if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  const auto bytes = static_cast<std::uint64_t>(info.st_blocks) * 512;
  if (S_ISDIR(info.st_mode) || info.st_nlink <= 1) {
    sum_.bytes += bytes;
    ++sum_.inodes;
  } else {
    // Each of its names carries its part.
    sum_.bytes += bytes / info.st_nlink;
    shares_ += share / info.st_nlink;
  }
  if (S_ISDIR(info.st_mode)) enter(name, info.st_ino);
}

void DiskWalk::enter(const char* name, std::uint64_t inode) {
  if (depth_ == most_levels) {
    sum_.too_deep = true;
    return;
  }
  const bool placed = depth_ < open_levels;
  const int above = depth_ > open_levels ? deepest_ : fds_[depth_ - 1];
  const int fd = openat(above, name, folder_flags);
  if (fd < 0) return;
  if (depth_ > open_levels) close(deepest_);
  if (placed) {
    fds_[depth_] = fd;
  } else {
    deepest_ = fd;
  }
  levels_[depth_++] = {inode, 0};
  used_ = have_ = 0;
}

// Back to the folder above. One that has been moved meanwhile leads elsewhere: then what is between it and
// the deepest folder that is still open is left out.
void DiskWalk::leave() {
  used_ = have_ = 0;
  if (depth_ <= open_levels) {
    close(fds_[--depth_]);
  } else {
    --depth_;
    if (depth_ > open_levels) {
      const int above = openat(deepest_, "..", folder_flags);
      struct stat info;
      close(deepest_);
      if (above >= 0 && fstat(above, &info) == 0 && info.st_ino == levels_[depth_ - 1].inode) {
        deepest_ = above;
      } else {
        if (above >= 0) close(above);
        depth_ = open_levels;
      }
    } else {
      close(deepest_);
    }
  }
  if (depth_ == 0) return;
  lseek(depth_ > open_levels ? deepest_ : fds_[depth_ - 1], levels_[depth_ - 1].at, SEEK_SET);
}

bool DiskWalk::step(std::uint64_t until) {
  for (unsigned steps = 0; running_; ++steps) {
    if (steps % 32 == 31 && monotonic_ns() >= until) return false;
    const char* name = nullptr;
    if (depth_ == 0) {
      if (next_folder()) continue;
      running_ = false;
    } else if (names_ > most_names_) {
      close_all();
      running_ = false;
    } else if (next_entry(name)) {
      ++names_;
      count(name);
    } else {
      leave();
    }
  }
  return true;
}

DiskCount DiskWalk::sum() const {
  const auto inodes = sum_.inodes + shares_ / share;
  return {sum_.bytes, inodes > names_ / names_of_inode ? inodes : names_ / names_of_inode, sum_.too_deep};
}

// ---- files without a name ----

namespace {

// What was counted already in one look at all processes. When it is full, the rest is counted as it comes.
class SeenFiles {
 public:
  void clear() { memset(entries_, 0, sizeof entries_); }
  bool add(std::uint64_t device, std::uint64_t inode) {
    for (unsigned i = 0; i < tries; ++i) {
      auto& entry = entries_[(inode * 0x9e3779b97f4a7c15u + device + i) % size];
      if (entry.inode == inode && entry.device == device) return false;
      if (entry.inode != 0) continue;
      entry = {device, inode};
      return true;
    }
    return true;
  }

 private:
  static constexpr unsigned size = 8191, tries = 64;
  struct {
    std::uint64_t device, inode;
  } entries_[size] = {};
};

SeenFiles seen_files;

// Of a descriptor that leads to a file without a name on an overlay: /tmp has its own cap.
void add_held_file(DiskCount& sum, int folder, const char* name, bool& seen) {
  struct stat info;
  if (fstatat(folder, name, &info, 0) != 0 || info.st_nlink != 0 || !S_ISREG(info.st_mode)) return;
  const int fd = openat(folder, name, O_PATH | O_CLOEXEC);
  struct statfs system;
  const bool ours = fd >= 0 && fstatfs(fd, &system) == 0 && system.f_type == OVERLAYFS_SUPER_MAGIC;
  if (fd >= 0) close(fd);
  if (!ours) return;
  if (!seen) seen_files.clear();
  seen = true;
  if (!seen_files.add(info.st_dev, info.st_ino)) return;
  sum.bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
  ++sum.inodes;
}

}  // namespace

void HeldFiles::begin() {
  if (processes_) return;
  processes_ = opendir("/proc");
  looked_ = 0;
  seen_ = false;
  sum_ = {};
}

void HeldFiles::end() {
  if (descriptors_) closedir(descriptors_);
  closedir(processes_);
  descriptors_ = processes_ = nullptr;
  last_ = sum_;
}

bool HeldFiles::next_process() {
  while (const dirent* process = readdir(processes_)) {
    if (!is_number(process->d_name) || atoi(process->d_name) <= 1) continue;
    char path[32];
    snprintf(path, sizeof path, "/proc/%.10s/fd", process->d_name);
    descriptors_ = opendir(path);
    if (descriptors_) return true;
  }
  return false;
}

// False at the end of all.
bool HeldFiles::step_once() {
  if (!descriptors_ && !next_process()) return false;
  const dirent* fd = readdir(descriptors_);
  if (!fd) {
    closedir(descriptors_);
    descriptors_ = nullptr;
    return true;
  }
  if (++looked_ > most_held) {
    sum_.too_deep = true;
    return false;
  }
  if (is_number(fd->d_name)) add_held_file(sum_, dirfd(descriptors_), fd->d_name, seen_);
  return true;
}

bool HeldFiles::step(std::uint64_t until) {
  for (unsigned steps = 0; processes_; ++steps) {
    if (steps % 32 == 31 && monotonic_ns() >= until) return false;
    if (!step_once()) end();
  }
  return true;
}

}  // namespace agentrouter::sandbox::init
