#include "workspace/collector.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "workspace/layer.h"
#include "workspace/patch.h"
#include "workspace/sink.h"
#include "workspace/walk.h"

namespace agentrouter::workspace {

namespace {

using base::Result;
using Deadline = std::chrono::steady_clock::time_point;

constexpr std::uint64_t index_bytes = 1ull << 30;
constexpr std::uint64_t notes_bytes = 1u << 20;  // of the patch, for naming what is left out
constexpr std::uint64_t hashed_bytes = 4ull << 30;

std::string_view status_of(const Change& change) {
  if (!change.before.is_content()) return "??";
  if (!change.after.is_content()) return " D";
  return change.before.kind == change.after.kind ? " M" : " T";
}

// Valid UTF-8 stays, any other byte and the backslash become \xNN.
std::string escape_path(std::string_view path) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out;
  for (std::size_t at = 0; at < path.size();) {
    auto next = at;
    (void)base::decode_utf8(path, next);
    const auto piece = path.substr(at, next - at);
    if (base::is_utf8(piece) && piece != "\\") {
      out += piece;
    } else {
      next = at + 1;
      const auto byte = static_cast<unsigned char>(path[at]);
      out += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    }
    at = next;
  }
  return out;
}

std::string index_entry(const Change& change) {
  json::object entry;
  entry["status"] = status_of(change);
  if (base::is_utf8(change.path)) {
    entry["path"] = change.path;
  } else {
    entry["path"] = escape_path(change.path);
    entry["encoding"] = "escaped";
  }
  return base::to_text(entry);
}

// Reads a file piece by piece. Nothing is kept, so the size does not matter, only the time.
class Pieces {
 public:
  static std::optional<Pieces> open(const Folder& root, const std::string& path, std::uint64_t expected) {
    auto file = root.open_file(path);
    if (!file) return std::nullopt;
    return Pieces(std::move(*file), std::min<std::uint64_t>(expected + 1, max_piece));
  }
  // Empty at the end; nothing when it cannot be read.
  std::optional<std::string_view> next() {
    std::size_t size = 0;
    while (size < buffer_.size()) {
      const auto got = ::read(file_.get(), buffer_.data() + size, buffer_.size() - size);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return std::nullopt;
      if (got == 0) break;
      size += static_cast<std::size_t>(got);
    }
    return std::string_view(buffer_).substr(0, size);
  }

 private:
  static constexpr std::uint64_t max_piece = 256 * 1024;
  Pieces(base::Fd file, std::size_t piece) : file_(std::move(file)), buffer_(piece, '\0') {}
  base::Fd file_;
  std::string buffer_;
};

class Collection {
 public:
  Collection(const CollectFds& fds, const CollectLimits& limits)
      : limits_(limits),
        lower_(Folder::root(fds.lower)),
        upper_(Folder::root(fds.upper)),
        index_(fds.index_out, index_bytes),
        patch_(fds.patch_out, limits.patch_bytes),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time) {}

  Result<CollectReport> run();

 private:
  void take(const Change& change);
  void show(const Change& change);
  void leave_out(const Change& change, std::string_view why);
  [[nodiscard]] bool is_same(const Change& change) const;
  [[nodiscard]] bool has_same_bytes(const Change& change) const;
  [[nodiscard]] std::optional<std::string> hash_large(const Folder& layer, const std::string& path,
                                                      std::uint64_t size) const;
  [[nodiscard]] bool load(const Folder& layer, const Change& change, const Node& node, std::string& content,
                          Side& side) const;
  [[nodiscard]] bool late() const { return std::chrono::steady_clock::now() > deadline_; }

  const CollectLimits& limits_;
  Folder lower_;
  Folder upper_;
  Sink index_;
  Sink patch_;
  Deadline deadline_;
  CollectReport report_;
};

bool Collection::has_same_bytes(const Change& change) const {
  auto before = Pieces::open(lower_, change.path, change.before.size);
  auto after = Pieces::open(upper_, change.path, change.after.size);
  if (!before || !after) return false;
  for (;;) {
    const auto a = before->next(), b = after->next();
    if (!a || !b || *a != *b || late()) return false;
    if (a->empty()) return true;
  }
}

// What overlayfs copied up for a change of time, owner or a mode that git does not record.
bool Collection::is_same(const Change& change) const {
  const auto &before = change.before, &after = change.after;
  if (before.kind != after.kind || before.executable != after.executable || before.size != after.size)
    return false;
  if (before.kind == Kind::file) return has_same_bytes(change);
  const auto a = lower_.read(change.path, Kind::link, 0), b = upper_.read(change.path, Kind::link, 0);
  return a && b && *a == *b;
}

std::optional<std::string> Collection::hash_large(const Folder& layer, const std::string& path,
                                                  std::uint64_t size) const {
  auto pieces = size <= hashed_bytes ? Pieces::open(layer, path, size) : std::nullopt;
  if (!pieces) return std::nullopt;
  BlobHash hash(size);
  std::uint64_t seen = 0;
  for (;;) {
    const auto piece = pieces->next();
    if (!piece || late()) return std::nullopt;
    if (piece->empty()) break;
    seen += piece->size();
    hash.update(*piece);
  }
  if (seen != size) return std::nullopt;
  return hash.hex();
}

bool Collection::load(const Folder& layer, const Change& change, const Node& node, std::string& content,
                      Side& side) const {
  side.node = node;
  if (!node.is_content()) return true;
  if (node.size > limits_.file_bytes) {
    auto hash = hash_large(layer, change.path, node.size);
    if (hash) side.blob = std::move(*hash);
    return hash.has_value();
  }
  auto read = layer.read(change.path, node.kind, limits_.file_bytes);
  if (!read) return false;
  content = std::move(*read);
  BlobHash hash(content.size());
  hash.update(content);
  side.blob = hash.hex();
  side.content = content;
  return true;
}

void Collection::leave_out(const Change& change, std::string_view why) {
  report_.patch.truncated = true;
  const auto note = omission(change.path, why);
  if (patch_.fits(note.size())) patch_.append(note);
}

void Collection::show(const Change& change) {
  if (!is_applicable(change.path, change.after.kind))
    return leave_out(change, "git does not take such a name");
  std::string old_content, new_content;
  Side before, after;
  // The mode alone changed: no content is needed, however large.
  const bool large = change.after.kind == Kind::file && change.after.size > limits_.file_bytes;
  if (large) {
    const bool only_mode =
        change.before.kind == Kind::file && change.before.size == change.after.size && has_same_bytes(change);
    if (!only_mode) return leave_out(change, "larger than " + std::to_string(limits_.file_bytes) + " bytes");
    before.node = change.before;
    after.node = change.after;
  } else if (!load(lower_, change, change.before, old_content, before)) {
    return leave_out(change, "its former content cannot be read");
  } else if (!load(upper_, change, change.after, new_content, after)) {
    return leave_out(change, "it cannot be read");
  }
  const auto text = file_patch(change.path, before, after);
  const auto reserve = std::min(notes_bytes, limits_.patch_bytes / 8);
  if (!patch_.fits(text.size() + reserve)) return leave_out(change, "the patch is full");
  patch_.append(text);
}

void Collection::take(const Change& change) {
  if (is_same(change)) return;
  const auto entry = (report_.index.files == 0 ? "\n" : ",\n") + index_entry(change);
  if (report_.index.files >= limits_.index_entries || !index_.fits(entry.size() + 64)) {
    report_.index.truncated = report_.patch.truncated = true;
    return;
  }
  ++report_.index.files;
  index_.append(entry);
  show(change);
}

Result<CollectReport> Collection::run() {
  WalkLimits walk;
  walk.entries = limits_.walked_entries;
  // A few more than the index takes, because some turn out to be no change.
  walk.changes = limits_.index_entries + limits_.index_entries / 8 + 1;
  walk.depth = limits_.depth;
  walk.git_index_bytes = limits_.git_index_bytes;
  walk.deadline = deadline_;
  const auto changes = find_changes(upper_, lower_, walk);
  report_.index.truncated = report_.patch.truncated = changes.truncated;
  index_.append("{\"files\":[");
  for (const auto& change : changes.list) {
    if (late() || report_.index.files >= limits_.index_entries) {
      report_.index.truncated = report_.patch.truncated = true;
      break;
    }
    take(change);
  }
  if (report_.index.files != 0) index_.append("\n");
  index_.append(report_.index.truncated ? "],\"truncated\":true}\n" : "]}\n");
  if (auto done = index_.finish(); !done) return tl::unexpected(done.error());
  if (auto done = patch_.finish(); !done) return tl::unexpected(done.error());
  report_.index.bytes = index_.bytes();
  report_.index.sha256 = index_.sha256();
  report_.patch.bytes = patch_.bytes();
  report_.patch.sha256 = patch_.sha256();
  return report_;
}

}  // namespace

Result<CollectReport> collect(const CollectFds& fds, const CollectLimits& limits) {
  return Collection(fds, limits).run();
}

}  // namespace agentrouter::workspace
