#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>

#include "workspace/archive.h"
#include "workspace/checkpoint.h"
#include "workspace/entry_name.h"
#include "workspace/layer.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t archive_piece = 256 * 1024;

class CheckpointWriter {
 public:
  CheckpointWriter(const CheckpointSource& source, const std::vector<std::string>& left_out,
                   const CheckpointLimits& limits)
      : source_(source),
        left_out_(left_out.begin(), left_out.end()),
        limits_(limits),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time),
        sink_(source.out, limits.bytes),
        archive_(sink_),
        buffer_(archive_piece, '\0') {}

  Result<CheckpointReport> write() {
    skip_ = false;
    if (auto done = add_root(source_.workspace, "workspace"); !done) return tl::unexpected(done.error());
    skip_ = true;
    if (auto done = add_root(source_.home, "home"); !done) return tl::unexpected(done.error());
    if (auto done = archive_.finish(); !done) return tl::unexpected(done.error());
    return CheckpointReport{sink_.bytes(), sink_.sha256(), entries_, measure_own_layers()};
  }

 private:
  // Where a folder is: in its layer, and in the archive.
  struct Place {
    std::string path;
    std::string encoded;
    unsigned depth = 0;
  };

  std::optional<std::uint64_t> measure_own_layers() const {
    std::uint64_t bytes = 0, entries = 0;
    for (const auto* stack : {&source_.workspace, &source_.home}) {
      if (!measure(stack->top(), 0, bytes, entries)) return std::nullopt;
    }
    return bytes;
  }

  static constexpr std::uint64_t block = 512;  // of st_blocks

  bool measure(const Folder& folder, unsigned depth, std::uint64_t& bytes, std::uint64_t& entries) const {
    constexpr std::uint64_t inode = 512;
    const auto self = folder.attributes({});
    if (!self) return false;
    bytes += static_cast<std::uint64_t>(self->st_blocks) * block;
    const auto names = folder.names(limits_.entries);
    if (!names || depth > limits_.depth || !check_time()) return false;
    for (const auto& name : *names) {
      const auto info = folder.attributes(name);
      if (!info || ++entries > limits_.entries) return false;
      // An overlay separates the names of a file below it when one of them is written to.
      if (kind_of(*info) == Kind::file && info->st_nlink > 1) return false;
      const bool is_folder = kind_of(*info) == Kind::folder;
      bytes += inode + (is_folder ? 0 : static_cast<std::uint64_t>(info->st_blocks) * block);
      if (!is_folder) continue;
      const auto inner = folder.open(name);
      if (!inner || !measure(*inner, depth + 1, bytes, entries)) return false;
    }
    return true;
  }

  Result<void> add_root(const Stack& folder, const char* name) {
    const auto info = folder.attributes({});
    if (!info) return base::fail_errno(std::string("cannot read the ") + name, errno);
    return add_folder(folder, *info, {{}, name, 0});
  }

  Result<void> add_folder(const Stack& folder, const struct ::stat& info, const Place& place) {
    if (place.depth > limits_.depth) return fail(Code::exhausted, "the folders are too deep");
    if (auto done = begin(ArchiveEntry::Kind::folder, place.encoded, info); !done) return done;
    if (folder.is_opaque()) {
      if (auto done = mark(place.encoded + "/" + std::string(opaque_name)); !done) return done;
    }
    AGENTROUTER_TRY(const auto names, folder.names(limits_.entries));
    for (const auto& name : names) {
      if (auto done = add(folder, name, place); !done) return done;
    }
    return {};
  }

  Result<void> add(const Stack& folder, const std::string& name, const Place& parent) {
    const std::string path = parent.path.empty() ? name : parent.path + "/" + name;
    if (skip_ && left_out_.contains(path)) return {};
    const auto info = folder.attributes(name);
    if (!info) return base::fail_errno("cannot read " + path, errno);
    const std::string encoded = parent.encoded + "/" + encode_name(name);
    switch (kind_of(*info)) {
      case Kind::folder: {
        AGENTROUTER_TRY(const Stack inner, folder.open(name));
        if (!inner) return fail(Code::unavailable, "cannot read " + path);
        return add_folder(inner, *info, {path, encoded, parent.depth + 1});
      }
      case Kind::file:
        return add_file(folder, name, *info, encoded);
      case Kind::link:
        return add_link(folder, name, *info, encoded);
      case Kind::whiteout:
      case Kind::other:
      case Kind::absent:
        break;
    }
    return mark(parent.encoded + "/" + encode_deletion(name));
  }

  Result<void> add_link(const Stack& folder, const std::string& name, const struct ::stat& info,
                        const std::string& encoded) {
    AGENTROUTER_TRY(const std::string target, folder.read(name, Kind::link, 0));
    return begin(ArchiveEntry::Kind::link, encoded, info, target);
  }

  Result<void> add_file(const Stack& folder, const std::string& name, const struct ::stat& info,
                        const std::string& encoded) {
    if (info.st_nlink > 1) {
      const auto [first, added] = seen_.try_emplace({info.st_dev, info.st_ino}, encoded);
      if (!added) return begin(ArchiveEntry::Kind::hard_link, encoded, info, first->second);
    }
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size > limits_.bytes - content_) return fail(Code::exhausted, "the files are too large");
    content_ += size;
    if (size == 0) return begin(ArchiveEntry::Kind::file, encoded, info);
    AGENTROUTER_TRY(const base::Fd file, folder.open_file(name));
    if (auto done = begin(ArchiveEntry::Kind::file, encoded, info); !done) return done;
    return add_content(file.get(), size);
  }

  Result<void> add_content(int file, std::uint64_t size) {
    while (size > 0) {
      if (auto good = check_time(); !good) return good;
      const auto got = ::read(file, buffer_.data(), std::min<std::uint64_t>(archive_piece, size));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::fail_errno("cannot read a file", errno);
      if (got == 0) return fail(Code::unavailable, "a file became shorter while it was read");
      size -= static_cast<std::uint64_t>(got);
      if (auto done = archive_.write({buffer_.data(), static_cast<std::size_t>(got)}); !done) return done;
    }
    return {};
  }

  Result<void> begin(ArchiveEntry::Kind kind, const std::string& path, const struct ::stat& info,
                     std::string target = {}) {
    ArchiveEntry entry{kind, path, std::move(target), info.st_mode & 07777u, info.st_mtim, 0};
    if (kind == ArchiveEntry::Kind::file) entry.size = static_cast<std::uint64_t>(info.st_size);
    return begin(entry);
  }

  Result<void> mark(const std::string& path) {
    ArchiveEntry entry;
    entry.kind = ArchiveEntry::Kind::file;
    entry.path = path;
    return begin(entry);
  }

  Result<void> begin(const ArchiveEntry& entry) {
    if (++entries_ > limits_.entries) return fail(Code::exhausted, "there are too many files");
    if (auto good = check_time(); !good) return good;
    return archive_.begin(entry);
  }

  Result<void> check_time() const {
    if (std::chrono::steady_clock::now() < deadline_) return {};
    return fail(Code::timeout, "it takes too long");
  }

  const CheckpointSource& source_;
  std::set<std::string> left_out_;
  CheckpointLimits limits_;
  std::chrono::steady_clock::time_point deadline_;
  Sink sink_;
  ArchiveWriter archive_;
  std::string buffer_;
  bool skip_ = false;  // left_out_ counts
  std::uint64_t entries_ = 0;
  std::uint64_t content_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::string> seen_;  // first name of each file that has several
};

}  // namespace

Result<CheckpointReport> write_checkpoint(const CheckpointSource& source, const std::vector<std::string>& left_out,
                                          const CheckpointLimits& limits) {
  return CheckpointWriter(source, left_out, limits).write();
}

}  // namespace agentrouter::workspace
