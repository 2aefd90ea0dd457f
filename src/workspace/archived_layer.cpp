#include "workspace/archived_layer.h"

#include <unistd.h>

#include <cerrno>

#include "workspace/entry_name.h"
#include "workspace/ignore.h"
#include "workspace/patch.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t piece_bytes = 256 * 1024;
constexpr std::string_view root_name = "workspace";

tl::unexpected<base::Error> no_checkpoint(const std::string& path) {
  return fail(Code::corrupt, "the checkpoint has an impossible entry: " + path);
}

Result<void> rewind(int fd) {
  if (::lseek(fd, 0, SEEK_SET) == 0) return {};
  return base::fail_errno("cannot read the checkpoint", errno);
}

bool is_workspace_file(const ArchiveEntry& entry) {
  return entry.kind == ArchiveEntry::Kind::file && entry.path.starts_with("workspace/");
}

}  // namespace

Node ArchivedFolder::stat(const std::string& name) const {
  const auto* found = entry(name);
  return found ? found->node : Node();
}

const ArchivedEntry* ArchivedFolder::entry(const std::string& name) const {
  if (!entry_) return nullptr;
  const auto found = entry_->inner.find(name);
  return found == entry_->inner.end() ? nullptr : found->second.get();
}

Result<ArchivedFolder> ArchivedFolder::open(const std::string& name) const {
  const auto* found = entry(name);
  return found && found->node.kind == Kind::folder ? ArchivedFolder(*found) : ArchivedFolder();
}

Result<std::string> ArchivedFolder::read(const std::string& name, Kind kind, std::uint64_t max_bytes) const {
  const auto* found = entry(name);
  if (!found || found->node.kind != kind || found->text.size() > std::max<std::uint64_t>(max_bytes, 4096))
    return fail(Code::not_found, "there is no " + name);
  return found->text;
}

Result<std::vector<std::string>> ArchivedFolder::names(std::uint64_t max_names) const {
  std::vector<std::string> names;
  if (!entry_) return names;
  if (entry_->inner.size() > max_names) return fail(Code::exhausted, "a folder has too many entries");
  for (const auto& [name, inner] : entry_->inner) names.push_back(name);
  return names;
}

class ArchivedLayer::Builder {
 public:
  Builder(int fd, const CheckpointLimits& limits)
      : limits_(limits),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time),
        archive_(fd),
        buffer_(piece_bytes, '\0') {}

  Result<ArchivedLayer> build() {
    for (std::uint64_t count = 0;; ++count) {
      AGENTROUTER_TRY(const auto entry, archive_.next());
      if (!entry) break;
      if (count >= limits_.entries) return fail(Code::exhausted, "the checkpoint has too many files");
      if (auto good = check_time(); !good) return tl::unexpected(good.error());
      if (auto done = add(*entry); !done) return tl::unexpected(done.error());
    }
    return std::move(layer_);
  }

 private:
  Result<void> add(const ArchiveEntry& entry) {
    const auto file = is_workspace_file(entry) ? files_++ : files_;
    std::string_view rest = entry.path;
    while (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest == root_name) return {};
    if (!rest.starts_with(root_name) || rest[root_name.size()] != '/') return {};
    AGENTROUTER_TRY(const auto place, locate(rest.substr(root_name.size() + 1), entry.path));
    if (place.name.kind == DecodedName::Kind::opaque) {
      place.parent->opaque = true;
      return {};
    }
    auto& slot = place.parent->inner[place.name.name];
    slot = std::make_unique<ArchivedEntry>();
    if (place.name.kind == DecodedName::Kind::deleted) {
      slot->node.kind = Kind::whiteout;
      return {};
    }
    slot->mode = entry.mode & 0777u;
    slot->mtime = entry.mtime;
    return fill(entry, *slot, place.name.name, file);
  }

  struct Place {
    ArchivedEntry* parent = nullptr;
    DecodedName name;
  };
  // Folders in between that the archive does not name are made.
  Result<Place> locate(std::string_view path, const std::string& whole) {
    Place place{&layer_.root_, {}};
    for (unsigned depth = 0;; ++depth) {
      const auto slash = path.find('/');
      auto name = decode_name(path.substr(0, slash));
      if (!name) return no_checkpoint(whole);
      if (slash == std::string_view::npos) {
        place.name = std::move(*name);
        return place;
      }
      if (depth > limits_.depth) return fail(Code::exhausted, "the checkpoint's folders are too deep");
      if (name->kind != DecodedName::Kind::present) return no_checkpoint(whole);
      auto& inner = place.parent->inner[name->name];
      if (!inner) {
        inner = std::make_unique<ArchivedEntry>();
        inner->node.kind = Kind::folder;
        inner->mode = 0755;
      }
      if (inner->node.kind != Kind::folder) return no_checkpoint(whole);
      place.parent = inner.get();
      path.remove_prefix(slash + 1);
    }
  }

  Result<void> fill(const ArchiveEntry& entry, ArchivedEntry& slot, const std::string& name,
                    std::size_t file) {
    switch (entry.kind) {
      case ArchiveEntry::Kind::folder:
        slot.node.kind = Kind::folder;
        return {};
      case ArchiveEntry::Kind::link:
        slot.node = {Kind::link, entry.target.size(), false};
        slot.text = entry.target;
        slot.blob = blob_of(entry.target);
        return {};
      case ArchiveEntry::Kind::file:
        return fill_file(entry, slot, name, file);
      case ArchiveEntry::Kind::hard_link:
        return fill_hard_link(entry, slot);
      case ArchiveEntry::Kind::other:
        break;
    }
    return no_checkpoint(entry.path);
  }

  static std::string blob_of(std::string_view content) {
    BlobHash hash(content.size());
    hash.update(content);
    return hash.hex();
  }

  Result<void> fill_file(const ArchiveEntry& entry, ArchivedEntry& slot, const std::string& name,
                         std::size_t file) {
    slot.node = {Kind::file, entry.size, (entry.mode & 0100u) != 0};
    slot.file = file;
    const bool rules = name == ".gitignore" && entry.size <= IgnoreRules::max_bytes;
    BlobHash hash(entry.size);
    std::uint64_t seen = 0;
    for (;;) {
      if (auto good = check_time(); !good) return good;
      AGENTROUTER_TRY(const auto got, archive_.read(buffer_));
      if (got == 0) break;
      seen += got;
      if (seen > limits_.bytes - content_)
        return fail(Code::exhausted, "the checkpoint's files are too large");
      hash.update({buffer_.data(), got});
      if (rules) slot.text.append(buffer_.data(), got);
    }
    if (seen != entry.size) return no_checkpoint(entry.path);
    content_ += seen;
    slot.blob = hash.hex();
    return {};
  }

  Result<void> fill_hard_link(const ArchiveEntry& entry, ArchivedEntry& slot) {
    std::string_view target = entry.target;
    if (!target.starts_with("workspace/")) return no_checkpoint(entry.path);
    target.remove_prefix(root_name.size() + 1);
    const ArchivedEntry* first = &layer_.root_;
    while (first) {
      const auto slash = target.find('/');
      const auto name = decode_name(target.substr(0, slash));
      if (!name || name->kind != DecodedName::Kind::present) return no_checkpoint(entry.path);
      const auto found = first->inner.find(name->name);
      first = found == first->inner.end() ? nullptr : found->second.get();
      if (slash == std::string_view::npos) break;
      target.remove_prefix(slash + 1);
    }
    if (!first || first == &slot || first->node.kind != Kind::file) return no_checkpoint(entry.path);
    slot.node = first->node;
    slot.mode = first->mode;
    slot.text = first->text;
    slot.blob = first->blob;
    slot.file = first->file;
    return {};
  }

  Result<void> check_time() const {
    if (std::chrono::steady_clock::now() < deadline_) return {};
    return fail(Code::timeout, "reading the checkpoint takes too long");
  }

  const CheckpointLimits& limits_;
  std::chrono::steady_clock::time_point deadline_;
  ArchiveReader archive_;
  std::string buffer_;
  std::uint64_t content_ = 0;
  std::size_t files_ = 0;
  ArchivedLayer layer_;
};

Result<ArchivedLayer> ArchivedLayer::read(int fd, const CheckpointLimits& limits) {
  if (auto ready = rewind(fd); !ready) return tl::unexpected(ready.error());
  return Builder(fd, limits).build();
}

const ArchivedEntry* ArchivedLayer::find(std::string_view path) const {
  const ArchivedEntry* at = &root_;
  for (;;) {
    const auto slash = path.find('/');
    const auto found = at->inner.find(path.substr(0, slash));
    if (found == at->inner.end()) return nullptr;
    at = found->second.get();
    if (slash == std::string_view::npos) return at;
    path.remove_prefix(slash + 1);
  }
}

Result<void> ArchivedFiles::read(std::size_t file, const Take& take) {
  if (!archive_ || file < next_) {
    if (auto ready = rewind(fd_); !ready) return ready;
    archive_.emplace(fd_);
    next_ = 0;
  }
  std::string buffer(piece_bytes, '\0');
  for (;;) {
    AGENTROUTER_TRY(const auto entry, archive_->next());
    if (!entry) return fail(Code::corrupt, "the checkpoint has become shorter");
    if (!is_workspace_file(*entry) || next_++ != file) continue;
    for (std::size_t got = 1; got != 0;) {
      AGENTROUTER_TRY(got, archive_->read(buffer));
      if (got == 0) break;
      if (auto taken = take({buffer.data(), got}); !taken) return taken;
    }
    return {};
  }
}

}  // namespace agentrouter::workspace
