#include "workspace/file_view.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "workspace/path_text.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t read_bytes = 64 * 1024;

bool is_file(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

// A folder of the same layer, opened anew.
Folder again(const Folder& folder) {
  auto opened = folder.open(".");
  return opened ? std::move(*opened) : Folder();
}

std::pair<std::string_view, std::string> split_path(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return {{}, std::string(path)};
  return {path.substr(0, slash), std::string(path.substr(slash + 1))};
}

Result<void> copy_range(int file, std::uint64_t offset, std::uint64_t length, const FileView::Take& take) {
  std::string buffer(std::min<std::uint64_t>(read_bytes, length), '\0');
  while (length > 0) {
    const auto wanted = std::min<std::uint64_t>(buffer.size(), length);
    const auto got = ::pread(file, buffer.data(), wanted, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read a file", errno);
    if (got == 0) return fail(Code::unavailable, "a file became shorter while it was read");
    if (auto taken = take({buffer.data(), static_cast<std::size_t>(got)}); !taken) return taken;
    offset += static_cast<std::uint64_t>(got);
    length -= static_cast<std::uint64_t>(got);
  }
  return {};
}

Result<void> copy_archived(ArchivedFiles& files, const ArchivedEntry& entry, std::uint64_t offset,
                           std::uint64_t length, const FileView::Take& take) {
  return files.read(entry.file, [&](std::string_view piece) -> Result<void> {
    const auto skipped = std::min<std::uint64_t>(offset, piece.size());
    offset -= skipped;
    piece.remove_prefix(skipped);
    piece = piece.substr(0, length);
    length -= piece.size();
    return piece.empty() ? Result<void>() : take(piece);
  });
}

}  // namespace

FileView FileView::live(int base, Stack upper) {
  FileView view;
  view.base_ = std::make_unique<Folder>(Folder::root(base));
  view.upper_ = std::make_unique<Stack>(std::move(upper));
  return view;
}

Result<FileView> FileView::kept(int base, int archive) {
  FileView view;
  view.base_ = std::make_unique<Folder>(Folder::root(base));
  view.files_ = std::make_unique<ArchivedFiles>(archive);
  ArchivedLayer layer;
  if (is_file(archive)) {
    AGENTROUTER_TRY(layer, ArchivedLayer::read(archive));
  }
  view.layer_ = std::make_unique<ArchivedLayer>(std::move(layer));
  return view;
}

MergedFolder FileView::root() const {
  return {upper_ ? UpperFolder(upper_->again()) : UpperFolder(layer_->root()), again(*base_)};
}

Result<std::optional<MergedFolder>> FileView::folder(std::string_view path) const {
  std::optional<MergedFolder> at = root();
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string name(path.substr(0, slash));
    if (is_git_folder(name)) return std::optional<MergedFolder>();
    AGENTROUTER_TRY(at, at->open(name));
    if (!at || slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return at;
}

Result<MergedFolder::Found> FileView::stat(std::string_view path) const {
  const auto [parent, name] = split_path(path);
  AGENTROUTER_TRY(const auto at, folder(parent));
  if (!at || is_git_folder(name)) return MergedFolder::Found();
  return at->stat(name);
}

Result<void> FileView::read(const std::string& path, const MergedFolder::Found& found, std::uint64_t offset,
                            std::uint64_t length, const Take& take) const {
  if (length == 0) return {};
  if (found.from == From::upper && layer_) {
    const auto* entry = layer_->find(path);
    if (!entry) return fail(Code::not_found, "there is no " + path);
    return copy_archived(*files_, *entry, offset, length, take);
  }
  AGENTROUTER_TRY(const auto file,
                  found.from == From::upper ? upper_->open_file(path) : base_->open_file(path));
  return copy_range(file.get(), offset, length, take);
}

Result<std::string> FileView::target(const std::string& path) const {
  const auto [parent, name] = split_path(path);
  AGENTROUTER_TRY(const auto at, folder(parent));
  if (!at) return fail(Code::not_found, "there is no " + path);
  if (at->stat(name).from == From::upper) return at->upper().target(name);
  return at->base().read(name, Kind::link, 0);
}

std::optional<std::string> FileView::blob(const std::string& path, const MergedFolder::Found& found,
                                          Deadline deadline) const {
  if (found.from == From::upper && layer_) {
    const auto* entry = layer_->find(path);
    return entry && !entry->blob.empty() ? std::optional(entry->blob) : std::nullopt;
  }
  if (found.from == From::upper) return StackContent(*upper_).blob(path, found.node, deadline);
  return LayerContent(*base_).blob(path, found.node, deadline);
}

Changes FileView::changes(const WalkLimits& limits) const {
  auto changes = upper_ ? find_changes(*upper_, *base_, limits) : find_changes(layer_->root(), *base_, limits);
  std::erase_if(changes.list, [&](const Change& change) {
    const auto &before = change.before, &after = change.after;
    if (before.kind != after.kind || before.size != after.size || before.executable != after.executable)
      return false;
    const auto old = blob(change.path, {before, From::base}, limits.deadline);
    const auto fresh = old ? blob(change.path, {after, From::upper}, limits.deadline) : std::nullopt;
    return old && fresh && *old == *fresh;
  });
  std::sort(changes.list.begin(), changes.list.end(),
            [](const Change& a, const Change& b) { return by_names(a.path, b.path); });
  return changes;
}

}  // namespace agentrouter::workspace
