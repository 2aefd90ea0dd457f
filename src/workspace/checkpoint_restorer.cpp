#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "workspace/archive.h"
#include "workspace/beneath.h"
#include "workspace/checkpoint.h"
#include "workspace/entry_name.h"
#include "workspace/layer.h"
#include "workspace/remove.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;

namespace {

constexpr std::size_t write_size = 256 * 1024;
constexpr mode_t while_filled = 0700;  // of a folder, until everything in it is there

tl::unexpected<base::Error> not_ours(const std::string& path) {
  return fail(Code::corrupt, "the checkpoint has an impossible entry: " + path);
}

bool is_read_only(int folder) {
  struct statvfs info{};
  return ::fstatvfs(folder, &info) == 0 && (info.f_flag & ST_RDONLY) != 0;
}

class Restorer {
 public:
  Restorer(const RestoreFds& fds, const CheckpointLimits& limits)
      : fds_(fds),
        limits_(limits),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time),
        archive_(fds.archive),
        buffer_(write_size, '\0'),
        skips_workspace_(is_read_only(fds.workspace)) {}

  Result<void> restore() {
    for (std::uint64_t count = 0;; ++count) {
      AGENTROUTER_TRY(const auto entry, archive_.next());
      if (!entry) break;
      if (count >= limits_.entries) return fail(Code::exhausted, "the checkpoint has too many files");
      if (auto good = check_time(); !good) return good;
      if (auto done = apply(*entry); !done) return done;
    }
    return finish_folders();
  }

 private:
  struct Target {
    int root = -1;
    bool skipped = false;  // it belongs to the home, which is not restored
    std::string parent;    // of `name`, below the root; empty: the root itself
    DecodedName name;      // empty: the root itself
    [[nodiscard]] std::string path() const { return parent.empty() ? name.name : parent + "/" + name.name; }
  };
  struct FolderEnd {
    int root;
    std::string path;
    unsigned mode;
    timespec mtime;
  };

  // "workspace/a/.wh.b" as a root, "a", and a deletion of "b".
  Result<Target> resolve(const std::string& text) const {
    Target target;
    std::string_view rest = text;
    while (rest.ends_with('/')) rest.remove_suffix(1);
    const auto root = rest.substr(0, rest.find('/'));
    if (root == "workspace") target.root = fds_.workspace;
    if (root == "home") target.root = fds_.home;
    target.skipped = root == "home" && fds_.home < 0;
    if (target.root < 0 && !target.skipped) return not_ours(text);
    rest.remove_prefix(root.size());
    unsigned depth = 0;
    while (!rest.empty()) {
      rest.remove_prefix(1);
      const auto part = rest.substr(0, rest.find('/'));
      rest.remove_prefix(part.size());
      auto decoded = decode_name(part);
      const bool inner = !rest.empty();
      if (!decoded || (inner && decoded->kind != DecodedName::Kind::present)) return not_ours(text);
      if (++depth > limits_.depth + 1) return fail(Code::exhausted, "the checkpoint's folders are too deep");
      if (inner) {
        target.parent += (target.parent.empty() ? "" : "/") + decoded->name;
      } else {
        target.name = std::move(*decoded);
      }
    }
    return target;
  }

  Result<void> apply(const ArchiveEntry& entry) {
    AGENTROUTER_TRY(const Target target, resolve(entry.path));
    if (target.skipped || (target.root == fds_.workspace && skips_workspace_)) return {};
    if (target.name.kind == DecodedName::Kind::opaque) return clear(target);
    if (target.name.name.empty()) {
      if (entry.kind != ArchiveEntry::Kind::folder) return not_ours(entry.path);
      (void)::fchmod(target.root, while_filled);
      ends_.push_back({target.root, ".", entry.mode, entry.mtime});
      return {};
    }
    AGENTROUTER_TRY(const int parent, open_parent(target));
    const std::string& name = target.name.name;
    if (target.name.kind == DecodedName::Kind::deleted) return remove(parent, name, limits_.depth);
    switch (entry.kind) {
      case ArchiveEntry::Kind::folder:
        return make_folder(parent, target, entry);
      case ArchiveEntry::Kind::file:
        return make_file(parent, name, entry);
      case ArchiveEntry::Kind::link:
        return make_link(parent, name, entry);
      case ArchiveEntry::Kind::hard_link:
        return make_hard_link(parent, name, entry);
      case ArchiveEntry::Kind::other:
        break;
    }
    return not_ours(entry.path);
  }

  // Borrowed until the next call.
  Result<int> open_parent(const Target& target) {
    if (target.parent.empty()) return target.root;
    if (parent_ && parent_root_ == target.root && parent_path_ == target.parent) return parent_.get();
    parent_ = open_beneath(target.root, target.parent, O_RDONLY | O_DIRECTORY, Mounts::cross);
    if (!parent_) return not_ours(target.path());
    parent_root_ = target.root;
    parent_path_ = target.parent;
    return parent_.get();
  }

  Result<void> clear(const Target& target) {
    AGENTROUTER_TRY(const int folder, open_parent(target));
    AGENTROUTER_TRY(const auto names, Folder::root(folder).names(~0ull));
    for (const auto& name : names) {
      if (auto good = check_time(); !good) return good;
      if (auto done = remove(folder, name, limits_.depth); !done) return done;
    }
    return {};
  }

  Result<void> make_folder(int parent, const Target& target, const ArchiveEntry& entry) {
    const std::string& name = target.name.name;
    struct stat info{};
    const bool there = ::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && S_ISDIR(info.st_mode)) {
      if ((info.st_mode & while_filled) != while_filled) {
        (void)::fchmodat(parent, name.c_str(), while_filled, 0);
      }
    } else {
      if (auto done = remove(parent, name, limits_.depth); !done) return done;
      if (::mkdirat(parent, name.c_str(), while_filled) != 0) {
        return fail_errno("cannot make " + target.path(), errno);
      }
    }
    ends_.push_back({target.root, target.path(), entry.mode, entry.mtime});
    return {};
  }

  Result<void> make_file(int parent, const std::string& name, const ArchiveEntry& entry) {
    if (auto done = remove(parent, name, limits_.depth); !done) return done;
    const Fd file(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot make " + name, errno);
    for (;;) {
      if (auto good = check_time(); !good) return good;
      AGENTROUTER_TRY(const auto got, archive_.read(buffer_));
      if (got == 0) break;
      if (got > limits_.bytes - content_)
        return fail(Code::exhausted, "the checkpoint's files are too large");
      content_ += got;
      if (auto written = base::write_all(file.get(), {buffer_.data(), got}); !written) return written;
    }
    return set_attributes(file.get(), name, entry.mode, entry.mtime);
  }

  static Result<void> set_attributes(int fd, const std::string& name, unsigned mode, const timespec& mtime) {
    const timespec times[2] = {{0, UTIME_OMIT}, mtime};
    if (::fchmod(fd, mode) == 0 && ::futimens(fd, times) == 0) return {};
    return fail_errno("cannot set mode and time of " + name, errno);
  }

  Result<void> make_link(int parent, const std::string& name, const ArchiveEntry& entry) {
    if (auto done = remove(parent, name, limits_.depth); !done) return done;
    const timespec times[2] = {{0, UTIME_OMIT}, entry.mtime};
    if (::symlinkat(entry.target.c_str(), parent, name.c_str()) == 0 &&
        ::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0) {
      return {};
    }
    return fail_errno("cannot make the link " + name, errno);
  }

  Result<void> make_hard_link(int parent, const std::string& name, const ArchiveEntry& entry) {
    AGENTROUTER_TRY(const Target first, resolve(entry.target));
    if (first.name.kind != DecodedName::Kind::present || first.name.name.empty()) {
      return not_ours(entry.target);
    }
    const Fd folder = open_beneath(first.root, first.parent.empty() ? "." : first.parent,
                                   O_RDONLY | O_DIRECTORY, Mounts::cross);
    struct stat info{};
    const std::string& other = first.name.name;
    if (!folder || ::fstatat(folder.get(), other.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode)) {
      return not_ours(entry.target);
    }
    if (auto done = remove(parent, name, limits_.depth); !done) return done;
    if (::linkat(folder.get(), other.c_str(), parent, name.c_str(), 0) == 0) return {};
    return fail_errno("cannot make " + name, errno);
  }

  // Deepest first: filling a folder changes its time, and closing it keeps everybody out.
  Result<void> finish_folders() {
    parent_.reset();
    for (auto end = ends_.rbegin(); end != ends_.rend(); ++end) {
      const Fd folder = open_beneath(end->root, end->path, O_RDONLY | O_DIRECTORY, Mounts::cross);
      if (!folder) return not_ours(end->path);
      if (auto done = set_attributes(folder.get(), end->path, end->mode, end->mtime); !done) return done;
    }
    return {};
  }

  Result<void> check_time() const {
    if (std::chrono::steady_clock::now() < deadline_) return {};
    return fail(Code::timeout, "restoring the checkpoint takes too long");
  }

  RestoreFds fds_;
  CheckpointLimits limits_;
  std::chrono::steady_clock::time_point deadline_;
  ArchiveReader archive_;
  std::string buffer_;
  bool skips_workspace_;
  std::uint64_t content_ = 0;
  Fd parent_;
  int parent_root_ = -1;
  std::string parent_path_;
  std::vector<FolderEnd> ends_;
};

}  // namespace

Result<void> restore_checkpoint(const RestoreFds& fds, const CheckpointLimits& limits) {
  return Restorer(fds, limits).restore();
}

}  // namespace agentrouter::workspace
