#include "sandbox/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/fd.h"

namespace agentrouter::sandbox {
namespace {

using base::Fd;
using base::Result;

Fd open_beneath(int at, const char* name, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return Fd(static_cast<int>(::syscall(SYS_openat2, at, name, &how, sizeof how)));
}

// A folder to read and write in, whatever its mode was.
Fd open_folder(int at, const char* name) {
  auto path = open_beneath(at, name, O_PATH | O_DIRECTORY);
  if (!path) return path;
  struct stat info{};
  if (::fstat(path.get(), &info) == 0 && (info.st_mode & 0700) != 0700) {
    ::chmod(("/proc/self/fd/" + std::to_string(path.get())).c_str(), 0700);
  }
  return open_beneath(at, name, O_RDONLY | O_DIRECTORY);
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

struct Level {
  Dir dir;
  std::string name;  // in the level above
};

class Remover {
 public:
  Remover(int at, const RemoveBounds& bounds) : at_(at), bounds_(bounds), began_(bounds.now()) {}

  Result<void> remove(const std::string& top) {
    if (::unlinkat(at_, top.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (auto entered = enter(at_, top); !entered) return entered;
    while (!levels_.empty()) {
      if (auto stepped = step(); !stepped) return stepped;
    }
    return {};
  }

 private:
  Result<void> enter(int at, const std::string& name) {
    auto folder = open_folder(at, name.c_str());
    if (!folder && errno == ENOENT) return {};
    if (!folder) return base::fail_errno("cannot open folder " + name, errno);
    Dir dir(::fdopendir(folder.get()));
    if (!dir) return base::fail_errno("cannot read folder " + name, errno);
    (void)folder.release();
    levels_.push_back({std::move(dir), name});
    return {};
  }

  // One entry of the deepest open folder, or its end.
  Result<void> step() {
    const int here = ::dirfd(levels_.back().dir.get());
    errno = 0;
    const auto* entry = ::readdir(levels_.back().dir.get());
    if (!entry) return leave();
    const std::string name = entry->d_name;
    if (name == "." || name == "..") return {};
    if (is_over()) return base::fail(base::Code::exhausted, "cannot remove so many files at once");
    if (entry->d_type != DT_DIR && ::unlinkat(here, name.c_str(), 0) == 0) return note_removed();
    if (::unlinkat(here, name.c_str(), AT_REMOVEDIR) == 0) return note_removed();
    if (errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES && errno != EPERM) {
      return base::fail_errno("cannot remove " + name, errno);
    }
    if (levels_.size() < bounds_.depth) return enter(here, name);
    return move_up(here, name);
  }

  [[nodiscard]] bool is_over() const {
    return removed_ != 0 && (removed_ >= bounds_.entries || bounds_.now() > until_);
  }

  Result<void> note_removed() {
    if (removed_++ != 0) return {};
    const auto first = bounds_.now();
    until_ = first + std::max<std::chrono::steady_clock::duration>(bounds_.time, first - began_);
    return {};
  }

  // Too deep: the folder becomes one of the top, read again when the top is.
  Result<void> move_up(int here, const std::string& name) {
    const int top = ::dirfd(levels_.front().dir.get());
    if (auto opened = open_folder(here, name.c_str()); !opened)
      return base::fail_errno("cannot open folder " + name, errno);
    for (;;) {
      const auto place = ".removed." + std::to_string(moved_++);
      if (::renameat2(here, name.c_str(), top, place.c_str(), RENAME_NOREPLACE) == 0) return note_removed();
      if (errno != EEXIST || moved_ > bounds_.entries) return base::fail_errno("cannot move " + name, errno);
    }
  }

  Result<void> leave() {
    const auto name = levels_.back().name;
    const bool last = levels_.size() == 1;
    const int above = last ? at_ : ::dirfd(levels_[levels_.size() - 2].dir.get());
    if (::unlinkat(above, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
      levels_.pop_back();
      return note_removed();
    }
    // Something is left: folders that were moved up, or entries that a changing folder hid from readdir.
    if ((errno != ENOTEMPTY && errno != EEXIST) || ++rereads_ > bounds_.entries) {
      return base::fail_errno("cannot remove " + name, errno);
    }
    ::rewinddir(levels_.back().dir.get());
    return {};
  }

  const int at_;
  const RemoveBounds bounds_;
  const std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point until_;  // once something was removed
  std::vector<Level> levels_;
  std::uint64_t removed_ = 0;
  std::uint64_t rereads_ = 0;
  std::uint64_t moved_ = 0;
};

}  // namespace

Result<void> remove_tree(int at, const std::string& name, const RemoveBounds& bounds) {
  return Remover(at, bounds).remove(name);
}

}  // namespace agentrouter::sandbox
