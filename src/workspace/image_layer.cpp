#include "workspace/image_layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <memory>

#include "workspace/archive.h"
#include "workspace/remove.h"
#include "workspace/tree_path.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;

namespace {

constexpr std::string_view whiteout = ".wh.";
constexpr std::string_view opaque = ".wh..wh..opq";
constexpr std::string_view reserved = ".wh..wh.";

// Links are followed, and lead nowhere but inside the root.
Fd open_in_root(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return Fd(static_cast<int>(fd));
  }
}

std::string join_path(const std::vector<std::string>& parts) {
  std::string path;
  for (const auto& part : parts) path.append(path.empty() ? "" : "/").append(part);
  return path;
}

base::Error as_image(base::Error error) {
  if (error.code == Code::corrupt || error.code == Code::unsupported)
    return {Code::invalid, "cannot read a layer: " + error.message, "image_unreadable"};
  if (error.reason == "archive_limit") error.reason = "image_limit";
  if (error.reason == "archive_refused") error.reason = "image_refused";
  return error;
}

class Layer {
 public:
  Layer(int layer, int root, const ImageLimits& limits, ImageBudget& budget)
      : layer_(layer), root_(root), limits_(limits), budget_(budget), buffer_(256 * 1024, '\0') {
    struct stat info{};
    if (::fstat(layer, &info) == 0) budget_.packed += static_cast<std::uint64_t>(info.st_size);
  }

  Result<void> apply() {
    if (auto done = pass(budget_.passed[0], &Layer::erase); !done) return done;
    return pass(budget_.passed[1], &Layer::place);
  }

 private:
  Result<void> pass(std::uint64_t& passed, Result<void> (Layer::*take)(const ArchiveEntry&)) {
    if (::lseek(layer_, 0, SEEK_SET) != 0) return fail_errno("cannot read a layer", errno);
    reader_ = std::make_unique<ArchiveReader>(layer_, TarKind::any);
    for (;;) {
      if (auto good = check_time(limits_, budget_); !good) return good;
      auto entry = reader_->next();
      if (!entry) return tl::unexpected(std::move(entry).error());
      if (!*entry) break;
      // With the body: what nobody reads is unpacked as well.
      if (auto good = check_sum((*entry)->path, passed + reader_->passed() + (*entry)->size); !good)
        return good;
      if (auto done = (this->*take)(**entry); !done) return done;
    }
    passed += reader_->passed();
    return {};
  }

  struct Place {
    std::vector<std::string> above;
    std::string name;
  };

  // None: the root itself.
  Result<std::optional<Place>> place_of(const std::string& path) const {
    AGENTROUTER_TRY(auto parts, parts_of(path, limits_.files));
    if (parts.empty()) return std::optional<Place>();
    Place place;
    place.name = std::move(parts.back());
    parts.pop_back();
    place.above = std::move(parts);
    return std::optional(std::move(place));
  }

  Result<void> erase(const ArchiveEntry& entry) {
    AGENTROUTER_TRY(auto place, place_of(entry.path));
    if (!place || !place->name.starts_with(whiteout)) return {};
    if (entry.size > 0) return refused(entry.path, "it deletes something, and has content of its own");
    const Fd parent = open_in_root(root_, join_path(place->above), O_RDONLY | O_DIRECTORY);
    if (!parent) return {};  // nothing is there to be deleted
    if (place->name == opaque) return erase_all(parent.get());
    if (place->name.starts_with(reserved)) return {};  // of the storage driver that wrote it
    const auto name = place->name.substr(whiteout.size());
    if (name.empty() || name == "." || name == "..") return refused(entry.path, "it deletes something without a name");
    return remove(parent.get(), name, limits_.files.depth * 4);
  }

  Result<void> erase_all(int folder) {
    Fd again(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!again) return fail_errno("cannot empty a folder of the image", errno);
    const std::unique_ptr<DIR, int (*)(DIR*)> all(::fdopendir(again.get()), ::closedir);
    if (!all) return fail_errno("cannot empty a folder of the image", errno);
    (void)again.release();
    std::vector<std::string> names;
    while (const auto* one = ::readdir(all.get())) {
      const std::string_view name = one->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    for (const auto& name : names) {
      if (auto done = remove(folder, name, limits_.files.depth * 4); !done) return done;
    }
    return {};
  }

  Result<void> place(const ArchiveEntry& entry) {
    using Kind = ArchiveEntry::Kind;
    AGENTROUTER_TRY(auto place, place_of(entry.path));
    if (!place || place->name.starts_with(whiteout)) return {};
    if (entry.kind == Kind::other) {
      ++budget_.report->left_out;
      return {};
    }
    if (auto good = count(entry.path); !good) return good;
    AGENTROUTER_TRY(const Fd parent, open_parent(entry, place->above));
    switch (entry.kind) {
      case Kind::folder:
        return make_folder(parent.get(), place->name, entry);
      case Kind::file:
        return make_file(parent.get(), place->name, entry);
      case Kind::link:
        return make_link(parent.get(), place->name, entry);
      default:
        return make_hard_link(parent.get(), place->name, entry);
    }
  }

  // Folders that a layer only implies are made.
  Result<Fd> open_parent(const ArchiveEntry& entry, const std::vector<std::string>& above) {
    Fd whole = open_in_root(root_, join_path(above), O_RDONLY | O_DIRECTORY);
    if (whole) return whole;
    std::vector<std::string> sofar;
    for (const auto& part : above) {
      const Fd parent = open_in_root(root_, join_path(sofar), O_RDONLY | O_DIRECTORY);
      sofar.push_back(part);
      if (!parent) break;
      if (::mkdirat(parent.get(), part.c_str(), 0700) != 0) continue;
      const Fd made(::openat(parent.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!made || ::fchmod(made.get(), 0755) != 0)
        return fail_errno("cannot unpack \"" + entry.path + "\"", errno);
      ++budget_.report->content.folders;
      if (auto good = count(entry.path); !good) return tl::unexpected(good.error());
    }
    whole = open_in_root(root_, join_path(above), O_RDONLY | O_DIRECTORY);
    if (!whole) return refused(entry.path, "the path goes through something that is no folder of the image");
    return whole;
  }

  Result<void> clear(int parent, const std::string& name) { return remove(parent, name, limits_.files.depth * 4); }

  Result<void> make_folder(int parent, const std::string& name, const ArchiveEntry& entry) {
    struct stat info{};
    const bool there = ::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && !S_ISDIR(info.st_mode)) {
      if (auto cleared = clear(parent, name); !cleared) return cleared;
    }
    if ((!there || !S_ISDIR(info.st_mode)) && ::mkdirat(parent, name.c_str(), 0700) != 0)
      return fail_errno("cannot unpack \"" + entry.path + "\"", errno);
    if (!there) ++budget_.report->content.folders;
    const Fd folder(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder || ::fchmod(folder.get(), (entry.mode & 0777) | 0700) != 0)
      return fail_errno("cannot unpack \"" + entry.path + "\"", errno);
    return {};
  }

  Result<void> make_file(int parent, const std::string& name, const ArchiveEntry& entry) {
    if (auto cleared = clear(parent, name); !cleared) return cleared;
    const Fd file(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot unpack \"" + entry.path + "\"", errno);
    ++budget_.report->content.files;
    for (;;) {
      if (auto good = check_time(limits_, budget_); !good) return good;
      AGENTROUTER_TRY(const auto got, reader_->read(buffer_));
      if (got == 0) break;
      if (auto good = count_bytes(entry.path, got); !good) return good;
      if (auto written = base::write_all(file.get(), {buffer_.data(), got}); !written) return written;
    }
    const timespec times[2] = {{0, UTIME_OMIT}, {entry.mtime.tv_sec, 0}};
    (void)::futimens(file.get(), times);
    if (::fchmod(file.get(), (entry.mode & 0777) | 0600) == 0) return {};
    return fail_errno("cannot unpack \"" + entry.path + "\"", errno);
  }

  Result<void> make_link(int parent, const std::string& name, const ArchiveEntry& entry) {
    if (entry.target.empty() || entry.target.size() >= PATH_MAX) return refused(entry.path, "the link's target is no path");
    if (auto cleared = clear(parent, name); !cleared) return cleared;
    if (::symlinkat(entry.target.c_str(), parent, name.c_str()) != 0)
      return fail_errno("cannot unpack \"" + entry.path + "\"", errno);
    ++budget_.report->content.files;
    return {};
  }

  Result<void> make_hard_link(int parent, const std::string& name, const ArchiveEntry& entry) {
    AGENTROUTER_TRY(auto first, place_of(entry.target));
    constexpr std::string_view why = "the hard link is not of a file of the image";
    if (!first) return refused(entry.path, why);
    const Fd folder = open_in_root(root_, join_path(first->above), O_RDONLY | O_DIRECTORY);
    struct stat info{}, own{};
    if (!folder || ::fstatat(folder.get(), first->name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        S_ISDIR(info.st_mode))
      return refused(entry.path, why);
    const bool same = ::fstatat(parent, name.c_str(), &own, AT_SYMLINK_NOFOLLOW) == 0 && own.st_ino == info.st_ino &&
                      own.st_dev == info.st_dev;
    if (same) return {};
    if (auto cleared = clear(parent, name); !cleared) return cleared;
    if (::linkat(folder.get(), first->name.c_str(), parent, name.c_str(), 0) != 0)
      return fail_errno("cannot unpack \"" + entry.path + "\"", errno);
    ++budget_.report->content.files;
    return {};
  }

  Result<void> count(const std::string& path) {
    if (++budget_.entries <= limits_.files.entries) return budget_.reserve.use_entry();
    return over_limit(path, "entries", limits_.files.entries, "the image has too many files and folders");
  }

  Result<void> count_bytes(const std::string& path, std::uint64_t bytes) {
    if (auto good = check_sum(path, budget_.report->content.bytes += bytes); !good) return good;
    return budget_.reserve.use(bytes);
  }

  Result<void> check_sum(const std::string& path, std::uint64_t sum) const {
    if (sum > limits_.files.bytes)
      return over_limit(path, "bytes", limits_.files.bytes, "the image's files are too large together");
    if (sum > limits_.files.ratio_free && sum / limits_.files.ratio > budget_.packed)
      return over_limit(path, "ratio", limits_.files.ratio, "the image is compressed too strongly to be real");
    return {};
  }

  int layer_;
  int root_;
  const ImageLimits& limits_;
  ImageBudget& budget_;
  std::string buffer_;
  std::unique_ptr<ArchiveReader> reader_;
};

}  // namespace

Result<void> check_time(const ImageLimits& limits, const ImageBudget& budget) {
  if (std::chrono::steady_clock::now() < budget.deadline) return {};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limits.files.wall_time).count();
  auto late = over_limit({}, "seconds", static_cast<std::uint64_t>(seconds), "it takes too long");
  return tl::unexpected(as_image(std::move(late.value())));
}

Result<void> apply_layer(int layer, int root, const ImageLimits& limits, ImageBudget& budget) {
  auto done = Layer(layer, root, limits, budget).apply();
  if (!done) return tl::unexpected(as_image(std::move(done).error()));
  return done;
}

}  // namespace agentrouter::workspace
