#include "workspace/pack.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "workspace/archive.h"
#include "workspace/ignore.h"
#include "workspace/layer.h"
#include "workspace/tracked.h"
#include "workspace/tree_path.h"
#include "workspace/walk.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t pack_piece = 256 * 1024;
constexpr std::uint64_t largest_index = 256ull << 20;

class Packer {
 public:
  Packer(int folder, int out, const PackLimits& limits)
      : root_(Folder::root(folder)),
        limits_(limits),
        sink_(out, limits.bytes),
        archive_(sink_),
        buffer_(pack_piece, '\0') {}

  Result<PackReport> pack() {
    if (!root_) return base::fail_errno("cannot read the folder", errno);
    if (const auto index = root_.read(".git/index", Kind::file, largest_index)) {
      if (auto parsed = TrackedPaths::parse(*index)) tracked_ = std::move(*parsed);
    }
    if (auto done = add_content(root_, {}); !done) return tl::unexpected(done.error());
    if (auto done = archive_.finish(); !done) return tl::unexpected(done.error());
    report_.bytes = sink_.bytes();
    return std::move(report_);
  }

 private:
  struct Place {
    std::string path = {};  // with its "/", empty at the root
    IgnoreRules::Ptr rules = {};
    bool ignored = false;
    unsigned depth = 0;
  };

  Result<void> add_content(const Folder& folder, Place place) {
    if (place.depth > limits_.depth) return fail(Code::exhausted, "too many folders in " + place.path);
    if (const auto text = folder.read(".gitignore", Kind::file, IgnoreRules::max_bytes)) {
      place.rules = IgnoreRules::add(place.rules, *text, place.path.size());
    }
    AGENTROUTER_TRY(const auto names, folder.names(limits_.entries));
    for (const auto& name : names) {
      if (is_git_folder(name)) continue;
      if (auto done = add(folder, name, place); !done) return done;
    }
    return {};
  }

  Result<void> add(const Folder& folder, const std::string& name, const Place& place) {
    const auto info = folder.attributes(name);
    if (!info) return base::fail_errno("cannot read " + place.path + name, errno);
    const std::string path = place.path + name;
    const auto kind = kind_of(*info);
    const bool ignored = place.ignored || IgnoreRules::ignores(place.rules, path, kind == Kind::folder);
    if (kind == Kind::folder) {
      if (ignored && !(tracked_ && tracked_->has_below(path + "/"))) return {};
      return add_folder(folder, name, *info, {path + "/", place.rules, ignored, place.depth + 1});
    }
    if (ignored && !(tracked_ && tracked_->contains(path))) return {};
    if (kind == Kind::file) return add_file(folder, name, *info, path);
    if (kind == Kind::link) return add_link(folder, name, *info, place.path);
    report_.left_out.push_back(path);
    return {};
  }

  Result<void> add_folder(const Folder& parent, const std::string& name, const struct ::stat& info,
                          Place place) {
    AGENTROUTER_TRY(const Folder inner, parent.open(name));
    if (!inner) return fail(Code::unavailable, "cannot read " + place.path);
    if (auto done = begin(ArchiveEntry::Kind::folder, place.path, info); !done) return done;
    return add_content(inner, std::move(place));
  }

  Result<void> add_link(const Folder& folder, const std::string& name, const struct ::stat& info,
                        const std::string& place) {
    AGENTROUTER_TRY(const std::string target, folder.read(name, Kind::link, 0));
    const auto depth = static_cast<std::size_t>(std::ranges::count(place, '/'));
    if (!stays_inside(depth, target)) {
      report_.left_out.push_back(place + name);
      return {};
    }
    ++report_.files;
    return begin(ArchiveEntry::Kind::link, place + name, info, target);
  }

  Result<void> add_file(const Folder& folder, const std::string& name, const struct ::stat& info,
                        const std::string& path) {
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size > limits_.bytes - content_) return fail(Code::exhausted, "the files are too large at " + path);
    content_ += size;
    ++report_.files;
    AGENTROUTER_TRY(const base::Fd file, folder.open_file(name));
    if (auto done = begin(ArchiveEntry::Kind::file, path, info); !done) return done;
    return copy(file.get(), size, path);
  }

  Result<void> copy(int file, std::uint64_t size, const std::string& path) {
    while (size > 0) {
      const auto got = ::read(file, buffer_.data(), std::min<std::uint64_t>(pack_piece, size));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::fail_errno("cannot read " + path, errno);
      if (got == 0) return fail(Code::unavailable, path + " became shorter while it was read");
      size -= static_cast<std::uint64_t>(got);
      if (auto done = archive_.write({buffer_.data(), static_cast<std::size_t>(got)}); !done) return done;
    }
    return {};
  }

  Result<void> begin(ArchiveEntry::Kind kind, const std::string& path, const struct ::stat& info,
                     std::string target = {}) {
    if (++entries_ > limits_.entries) return fail(Code::exhausted, "too many files at " + path);
    ArchiveEntry entry{kind, path, std::move(target), info.st_mode & 0777u, info.st_mtim, 0};
    if (kind == ArchiveEntry::Kind::file) entry.size = static_cast<std::uint64_t>(info.st_size);
    return archive_.begin(entry);
  }

  Folder root_;
  PackLimits limits_;
  Sink sink_;
  ArchiveWriter archive_;
  std::string buffer_;
  std::optional<TrackedPaths> tracked_;
  std::uint64_t entries_ = 0;
  std::uint64_t content_ = 0;
  PackReport report_;
};

}  // namespace

Result<PackReport> pack_folder(int folder, int out, const PackLimits& limits) {
  return Packer(folder, out, limits).pack();
}

}  // namespace agentrouter::workspace
