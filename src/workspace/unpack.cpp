#include "workspace/unpack.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <vector>

#include "workspace/archive.h"
#include "workspace/beneath.h"
#include "workspace/disk_reserve.h"
#include "workspace/tree_path.h"
#include "workspace/zip.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;

namespace {

constexpr std::size_t piece_size = 256 * 1024;
constexpr unsigned folder_least = 0700;
constexpr unsigned file_least = 0600;
constexpr unsigned special_bits = S_ISUID | S_ISGID;

using Parts = std::vector<std::string>;

std::string join(const Parts& parts) {
  std::string path;
  for (const auto& part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

// What the readers say becomes one kind of error.
base::Error unreadable(base::Error error) {
  if (error.code != Code::corrupt && error.code != Code::unsupported) return error;
  return {Code::invalid, error.message + ": send a tar, tar.gz, tar.zst or zip archive", "archive_unreadable",
          "{}"};
}

std::unique_ptr<EntryReader> reader_of(int archive) {
  std::array<char, 4> head{};
  const auto got = ::pread(archive, head.data(), head.size(), 0);  // a pipe has no place: no zip
  const bool zip = got > 0 && looks_like_zip({head.data(), static_cast<std::size_t>(got)});
  if (zip) return std::make_unique<ZipReader>(archive);
  return std::make_unique<ArchiveReader>(archive, TarKind::any);
}

std::uint64_t size_of(int archive) {
  struct stat info{};
  return ::fstat(archive, &info) == 0 && S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0;
}

// Follows links, and fails when one leads out of the folder. What is not there, or turns in circles, leads
// nowhere.
bool resolves_outside(int folder, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const Fd found(static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how)));
  return !found && errno != ENOENT && errno != ELOOP && errno != ENOTDIR;
}

timespec sane(timespec time) {
  if (time.tv_nsec < 0 || time.tv_nsec > 999'999'999) time.tv_nsec = 0;
  return time;
}

class Unpacker {
 public:
  Unpacker(const UnpackFds& fds, const UnpackLimits& limits)
      : fds_(fds),
        limits_(limits),
        reserve_(fds.folder, limits.disk_reserve),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time),
        archive_size_(size_of(fds.archive)),
        buffer_(piece_size, '\0') {}

  Result<UnpackReport> run() {
    reader_ = reader_of(fds_.archive);
    for (;;) {
      if (auto good = check_time(); !good) return tl::unexpected(good.error());
      auto entry = reader_->next();
      if (!entry) return tl::unexpected(unreadable(std::move(entry).error()));
      if (!*entry) break;
      if (auto done = place(**entry); !done) return tl::unexpected(done.error());
    }
    if (auto good = check_links(); !good) return tl::unexpected(good.error());
    finish_folders();
    return report_;
  }

 private:
  struct FolderEnd {
    std::string path;
    unsigned mode;
    timespec mtime;
  };

  Result<void> place(const ArchiveEntry& entry) {
    using Kind = ArchiveEntry::Kind;
    if (entry.kind == Kind::other)
      return refused(entry.path, "it is a device, a pipe or a socket: leave it out");
    if ((entry.mode & special_bits) != 0 && entry.kind != Kind::link)
      return refused(entry.path, "it is setuid or setgid: take the bit away (chmod ug-s)");
    AGENTROUTER_TRY(auto parts, parts_of(entry.path, limits_));
    if (parts.empty()) {
      if (entry.kind == Kind::folder) return {};
      return refused(entry.path, "it takes the place of the tree itself");
    }
    const std::string name = std::move(parts.back());
    parts.pop_back();
    AGENTROUTER_TRY(const int parent, open_folder(entry, parts));
    switch (entry.kind) {
      case Kind::folder:
        return make_folder(parent, parts, name, entry);
      case Kind::file:
        return make_file(parent, name, entry);
      case Kind::link:
        return make_link(parent, parts, name, entry);
      default:
        return make_hard_link(parent, name, entry);
    }
  }

  // Borrowed until the next call. Folders that the archive only implies are made.
  Result<int> open_folder(const ArchiveEntry& entry, const Parts& parts) {
    if (parts.empty()) return fds_.folder;
    const auto path = join(parts);
    if (folder_ && folder_path_ == path) return folder_.get();
    Fd folder;
    int at = fds_.folder;
    for (const auto& part : parts) {
      const bool made = ::mkdirat(at, part.c_str(), 0755) == 0;
      if (!made && errno != EEXIST) return fail_errno("cannot unpack \"" + path + "\"", errno);
      if (made) {
        if (auto good = count(entry.path); !good) return tl::unexpected(good.error());
        ++report_.folders;
      }
      Fd next = open_beneath(at, part, O_RDONLY | O_DIRECTORY, Mounts::refuse);
      if (!next) return refused(entry.path, "the path goes through something that is not a folder");
      folder = std::move(next);
      at = folder.get();
    }
    folder_ = std::move(folder);
    folder_path_ = path;
    return folder_.get();
  }

  Result<void> make_folder(int parent, const Parts& above, const std::string& name,
                           const ArchiveEntry& entry) {
    const bool made = ::mkdirat(parent, name.c_str(), folder_least) == 0;
    if (!made && errno != EEXIST) return fail_errno("cannot unpack \"" + name + "\"", errno);
    if (!made && !is_folder(parent, name)) return refused(entry.path, "something else has this name already");
    if (made) {
      if (auto good = count(entry.path); !good) return good;
      ++report_.folders;
    }
    Parts path = above;
    path.push_back(name);
    ends_.push_back({join(path), (entry.mode & 0777) | folder_least, sane(entry.mtime)});
    return {};
  }

  static bool is_folder(int parent, const std::string& name) {
    struct stat info{};
    return ::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
  }

  // A later file of the same name is what counts, as with tar; what was linked or is a folder stays.
  Result<void> make_room(int parent, const std::string& name, const ArchiveEntry& entry) {
    struct stat info{};
    if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return count(entry.path);
    if (!S_ISREG(info.st_mode) || entry.kind != ArchiveEntry::Kind::file)
      return refused(entry.path, "something else has this name already");
    if (::unlinkat(parent, name.c_str(), 0) != 0) return fail_errno("cannot unpack \"" + name + "\"", errno);
    --report_.files;
    return {};
  }

  Result<void> make_file(int parent, const std::string& name, const ArchiveEntry& entry) {
    if (auto room = make_room(parent, name, entry); !room) return room;
    const Fd file(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot unpack \"" + name + "\"", errno);
    ++report_.files;
    for (;;) {
      if (auto good = check_time(); !good) return good;
      auto got = reader_->read(buffer_);
      if (!got) return tl::unexpected(unreadable(std::move(got).error()));
      if (*got == 0) break;
      if (auto good = count_bytes(entry.path, *got); !good) return good;
      if (auto written = base::write_all(file.get(), {buffer_.data(), *got}); !written) return written;
    }
    const timespec times[2] = {{0, UTIME_OMIT}, sane(entry.mtime)};
    (void)::futimens(file.get(), times);
    if (::fchmod(file.get(), (entry.mode & 0777) | file_least) == 0) return {};
    return fail_errno("cannot unpack \"" + name + "\"", errno);
  }

  Result<void> make_link(int parent, const Parts& above, const std::string& name, const ArchiveEntry& entry) {
    if (entry.target.empty()) return refused(entry.path, "the link leads nowhere");
    if (entry.target.size() >= PATH_MAX)
      return over_limit(entry.path, "path_bytes", PATH_MAX - 1, "the link's target is too long");
    const bool checked = limits_.links == LinkRule::inside;
    if (checked && !stays_inside(above.size(), entry.target))
      return refused(entry.path, "the link leads out of the tree: use a relative one that stays in it");
    if (auto room = make_room(parent, name, entry); !room) return room;
    if (::symlinkat(entry.target.c_str(), parent, name.c_str()) != 0)
      return fail_errno("cannot unpack \"" + name + "\"", errno);
    const timespec times[2] = {{0, UTIME_OMIT}, sane(entry.mtime)};
    (void)::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW);
    ++report_.files;
    if (checked) {
      Parts path = above;
      path.push_back(name);
      links_.push_back(join(path));
    }
    return {};
  }

  Result<void> make_hard_link(int parent, const std::string& name, const ArchiveEntry& entry) {
    constexpr std::string_view why = "the hard link is not of a file that stands before it in the archive";
    AGENTROUTER_TRY(auto first, parts_of(entry.target, limits_));
    if (first.empty()) return refused(entry.path, why);
    const std::string other = std::move(first.back());
    first.pop_back();
    const Fd folder =
        open_beneath(fds_.folder, first.empty() ? "." : join(first), O_RDONLY | O_DIRECTORY, Mounts::refuse);
    struct stat info{};
    if (!folder || ::fstatat(folder.get(), other.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode)) {
      return refused(entry.path, why);
    }
    if (auto room = make_room(parent, name, entry); !room) return room;
    if (::linkat(folder.get(), other.c_str(), parent, name.c_str(), 0) != 0)
      return fail_errno("cannot unpack \"" + name + "\"", errno);
    ++report_.files;
    return {};
  }

  // All links are there now, so each shows where it really leads.
  Result<void> check_links() const {
    for (const auto& path : links_) {
      if (auto good = check_time(); !good) return good;
      if (resolves_outside(fds_.folder, path))
        return refused(path, "the link leads out of the tree: use a relative one that stays in it");
    }
    return {};
  }

  // Deepest first: filling a folder changes its time.
  void finish_folders() {
    for (auto end = ends_.rbegin(); end != ends_.rend(); ++end) {
      const Fd folder = open_beneath(fds_.folder, end->path, O_RDONLY | O_DIRECTORY, Mounts::refuse);
      if (!folder) continue;
      const timespec times[2] = {{0, UTIME_OMIT}, end->mtime};
      (void)::fchmod(folder.get(), end->mode);
      (void)::futimens(folder.get(), times);
    }
  }

  Result<void> count(const std::string& path) {
    if (++entries_ <= limits_.entries) return reserve_.use_entry();
    return over_limit(path, "entries", limits_.entries, "the archive has too many files and folders");
  }

  Result<void> count_bytes(const std::string& path, std::uint64_t bytes) {
    report_.bytes += bytes;
    if (report_.bytes > limits_.bytes)
      return over_limit(path, "bytes", limits_.bytes, "the archive's files are too large together");
    const bool dense = archive_size_ != 0 && report_.bytes / limits_.ratio > archive_size_;
    if (report_.bytes > limits_.ratio_free && dense)
      return over_limit(path, "ratio", limits_.ratio, "the archive is compressed too strongly to be real");
    return reserve_.use(bytes);
  }

  Result<void> check_time() const {
    if (std::chrono::steady_clock::now() < deadline_) return {};
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limits_.wall_time).count();
    return over_limit({}, "seconds", static_cast<std::uint64_t>(seconds), "it takes too long");
  }

  UnpackFds fds_;
  UnpackLimits limits_;
  DiskReserve reserve_;
  std::chrono::steady_clock::time_point deadline_;
  std::uint64_t archive_size_;
  std::string buffer_;
  std::unique_ptr<EntryReader> reader_;
  UnpackReport report_;
  std::uint64_t entries_ = 0;
  Fd folder_;
  std::string folder_path_;
  std::vector<std::string> links_;
  std::vector<FolderEnd> ends_;
};

}  // namespace

Result<UnpackReport> unpack(const UnpackFds& fds, const UnpackLimits& limits) {
  return Unpacker(fds, limits).run();
}

}  // namespace agentrouter::workspace
