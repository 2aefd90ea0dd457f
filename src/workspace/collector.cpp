#include "workspace/collector.h"

#include <optional>

#include "base/json.h"
#include "workspace/patch_writer.h"
#include "workspace/path_text.h"
#include "workspace/turn_patch.h"

namespace agentrouter::workspace {

namespace {

using base::Result;

constexpr std::uint64_t index_bytes = 1ull << 30;

std::string_view status_of(const Change& change) {
  if (!change.before.is_content()) return "??";
  if (!change.after.is_content()) return " D";
  return change.before.kind == change.after.kind ? " M" : " T";
}

std::string_view git_mode(const Node& node) {
  if (node.kind == Kind::link) return "120000";
  return node.executable ? "100755" : "100644";
}

std::string index_entry(const Change& change) {
  json::object entry;
  entry["status"] = status_of(change);
  put_path(entry, "path", change.path);
  if (change.after.is_content()) {
    entry["size"] = change.after.size;
    entry["mode"] = git_mode(change.after);
  }
  return base::to_text(entry);
}

class Collection {
 public:
  Collection(const CollectFds& fds, const CollectLimits& limits)
      : fds_(fds),
        limits_(limits),
        lower_(Folder::root(fds.lower)),
        deadline_(std::chrono::steady_clock::now() + limits.wall_time),
        index_(fds.index_out, index_bytes),
        patch_(fds.patch_out, {limits.patch_bytes, limits.file_bytes}, deadline_) {}

  Result<CollectReport> run();

 private:
  void collect_all(const Changes& changes);
  void take(const Change& change);
  [[nodiscard]] Result<CollectReport::Patch> collect_turn(const Changes& changes, const WalkLimits& walk);
  [[nodiscard]] bool is_same(const Change& change) const;
  [[nodiscard]] bool has_same_bytes(const Change& change) const;
  [[nodiscard]] bool late() const { return std::chrono::steady_clock::now() > deadline_; }

  const CollectFds& fds_;
  const CollectLimits& limits_;
  Folder lower_;
  const Stack& upper_{fds_.upper};
  LayerContent lower_content_{lower_};
  StackContent upper_content_{upper_};
  Deadline deadline_;
  Sink index_;
  PatchWriter patch_;
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

void Collection::take(const Change& change) {
  if (is_same(change)) return;
  const auto entry = (report_.index.files == 0 ? "\n" : ",\n") + index_entry(change);
  if (report_.index.files >= limits_.index_entries || !index_.fits(entry.size() + 64)) {
    report_.index.truncated = true;
    return patch_.mark_truncated();
  }
  ++report_.index.files;
  index_.append(entry);
  patch_.add(change, lower_content_, upper_content_);
}

void Collection::collect_all(const Changes& changes) {
  report_.index.truncated = changes.truncated;
  index_.append("{\"files\":[");
  for (const auto& change : changes.list) {
    if (late() || report_.index.files >= limits_.index_entries) {
      report_.index.truncated = true;
      break;
    }
    take(change);
  }
  if (report_.index.truncated) patch_.mark_truncated();
  if (report_.index.files != 0) index_.append("\n");
  index_.append(report_.index.truncated ? "],\"truncated\":true}\n" : "]}\n");
}

CollectReport::Patch report_of(const PatchWriter& patch) {
  return {patch.bytes(), patch.sha256(), patch.truncated()};
}

Result<CollectReport::Patch> Collection::collect_turn(const Changes& changes, const WalkLimits& walk) {
  PatchWriter patch(fds_.turn_patch_out, {limits_.patch_bytes, limits_.file_bytes}, deadline_);
  const TurnPatchSource source{lower_, upper_, changes, fds_.earlier, fds_.scratch};
  write_turn_patch(source, walk, limits_.file_bytes, patch);
  if (auto done = patch.finish(); !done) return tl::unexpected(done.error());
  return report_of(patch);
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
  collect_all(changes);
  if (auto done = index_.finish(); !done) return tl::unexpected(done.error());
  if (auto done = patch_.finish(); !done) return tl::unexpected(done.error());
  report_.index.bytes = index_.bytes();
  report_.index.sha256 = index_.sha256();
  report_.patch = report_of(patch_);
  if (fds_.turn_patch_out >= 0) {
    AGENTROUTER_TRY(report_.turn_patch, collect_turn(changes, walk));
  }
  return report_;
}

}  // namespace

Result<CollectReport> collect(const CollectFds& fds, const CollectLimits& limits) {
  return Collection(fds, limits).run();
}

}  // namespace agentrouter::workspace
