#include "workspace/turn_patch.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "workspace/merged.h"

namespace agentrouter::workspace {

namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::uint64_t scratch_bytes = 1ull << 30;

// Files of a checkpoint, copied out of it for reading in any order.
class ArchivedContent final : public ContentSource {
 public:
  ArchivedContent(const ArchivedLayer& layer, int scratch) : layer_(layer), scratch_(scratch) {}

  // Copies what `numbers` (sorted, each once) name. Errors: those of reading and writing, exhausted.
  Result<void> fetch(int archive, const std::vector<std::size_t>& numbers) {
    ArchivedFiles files(archive);
    std::uint64_t end = 0;
    for (const auto number : numbers) {
      const auto start = end;
      auto read = files.read(number, [&](std::string_view piece) -> Result<void> {
        if (end + piece.size() > scratch_bytes) return fail(Code::exhausted, "too much has changed");
        end += piece.size();
        return base::write_all(scratch_, piece);
      });
      if (!read) return read;
      places_[number] = {start, end - start};
    }
    return {};
  }

  Result<std::string> read(const std::string& path, const Node& node, std::uint64_t max) const override {
    const auto* entry = layer_.find(path);
    if (!entry) return fail(Code::not_found, "there is no " + path);
    if (node.kind == Kind::link) return entry->text;
    const auto place = places_.find(entry->file);
    if (place == places_.end()) return fail(Code::not_found, path + " was not kept");
    if (place->second.size > max) return fail(Code::exhausted, path + " is too large");
    std::string content(place->second.size, '\0');
    for (std::size_t at = 0; at < content.size();) {
      const auto got = ::pread(scratch_, content.data() + at, content.size() - at,
                               static_cast<off_t>(place->second.offset + at));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return base::fail_errno("cannot read " + path, got < 0 ? errno : EIO);
      at += static_cast<std::size_t>(got);
    }
    return content;
  }

  std::optional<std::string> blob(const std::string& path, const Node&, Deadline) const override {
    const auto* entry = layer_.find(path);
    return entry && !entry->blob.empty() ? std::optional(entry->blob) : std::nullopt;
  }

 private:
  struct Piece {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  const ArchivedLayer& layer_;
  int scratch_;
  std::map<std::size_t, Piece> places_;
};

struct TurnChange {
  Change change;
  const ContentSource* before = nullptr;
  const ContentSource* after = nullptr;
};

class TurnDifference {
 public:
  // `earlier`: what the turn began with; `earlier_stack` the same if it is there as layers, else null.
  TurnDifference(const TurnPatchSource& source, const ContentSource& earlier, const Stack* earlier_stack,
                 Deadline deadline)
      : source_(source),
        deadline_(deadline),
        earlier_(earlier),
        earlier_stack_(earlier_stack),
        lower_(source.lower),
        upper_(source.upper) {}

  void find(const Changes& earlier) {
    auto now = source_.now.list.begin();
    for (const auto& before : earlier.list) {
      for (; now != source_.now.list.end() && now->path < before.path; ++now) add_new(*now);
      if (now != source_.now.list.end() && now->path == before.path) {
        add_both(before, *now);
        ++now;
      } else {
        add_missing(before);
      }
    }
    for (; now != source_.now.list.end(); ++now) add_new(*now);
  }

  // The numbers of the archived files that the patch shows.
  [[nodiscard]] std::vector<std::size_t> shown_of(const ArchivedLayer& layer, std::uint64_t file_bytes) const {
    std::vector<std::size_t> numbers;
    for (const auto& [change, before, after] : found_) {
      if (before != &earlier_ || change.before.kind != Kind::file || change.before.size > file_bytes)
        continue;
      if (const auto* entry = layer.find(change.path)) numbers.push_back(entry->file);
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    return numbers;
  }

  void write(PatchWriter& patch) const {
    for (const auto& [change, before, after] : found_) {
      if (std::chrono::steady_clock::now() > deadline_) return patch.mark_truncated();
      patch.add(change, *before, *after);
    }
  }

 private:
  void add_new(const Change& change) { add(change, lower_, upper_); }

  void add_both(const Change& before, const Change& now) {
    if (!is_same_file(before.path)) add({before.path, before.after, now.after}, earlier_, upper_);
  }

  // In the same layer as before: most of what earlier turns have changed, told without reading it.
  [[nodiscard]] bool is_same_file(const std::string& path) const {
    if (earlier_stack_ == nullptr) return false;
    const auto before = earlier_stack_->attributes(path), now = source_.upper.attributes(path);
    return before && now && before->st_ino == now->st_ino && before->st_dev == now->st_dev;
  }

  // A change of the turns before that is none any more: taken back, or git ignores the path now.
  void add_missing(const Change& before) {
    const auto now = stat_merged(before.path);
    if (now.from == From::upper && now.node.is_content()) return;
    add({before.path, before.after, now.node.is_content() ? now.node : Node()}, earlier_, lower_);
  }

  Merged<Stack>::Found stat_merged(const std::string& path) const {
    auto lower = source_.lower.open(".");
    if (!lower) return {};
    Merged<Stack> at(source_.upper.again(), std::move(*lower));
    std::string_view rest = path;
    for (auto slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
      auto inner = at.open(std::string(rest.substr(0, slash)));
      if (!inner || !*inner) return {};
      at = std::move(**inner);
      rest.remove_prefix(slash + 1);
    }
    return at.stat(std::string(rest));
  }

  void add(Change change, const ContentSource& before, const ContentSource& after) {
    if (!change.before.is_content() && !change.after.is_content()) return;
    if (is_same(change, before, after)) return;
    found_.push_back({std::move(change), &before, &after});
  }

  bool is_same(const Change& change, const ContentSource& before, const ContentSource& after) const {
    const auto &a = change.before, &b = change.after;
    if (a.kind != b.kind || a.executable != b.executable || a.size != b.size) return false;
    const auto old = before.blob(change.path, a, deadline_);
    const auto fresh = old ? after.blob(change.path, b, deadline_) : std::nullopt;
    return old && fresh && *old == *fresh;
  }

  const TurnPatchSource& source_;
  Deadline deadline_;
  const ContentSource& earlier_;
  const Stack* earlier_stack_;
  LayerContent lower_;
  StackContent upper_;
  std::vector<TurnChange> found_;
};

void write_from_layers(const TurnPatchSource& source, const WalkLimits& limits, PatchWriter& patch) {
  const Stack stack = source.upper.earlier();
  const auto earlier = find_changes(stack, source.lower, limits);
  // What is missing on one side would look like a change of this turn.
  if (earlier.truncated || source.now.truncated) return patch.mark_truncated();
  const StackContent content(stack);
  TurnDifference difference(source, content, &stack, limits.deadline);
  difference.find(earlier);
  difference.write(patch);
}

void write_from_archive(const TurnPatchSource& source, const WalkLimits& limits, std::uint64_t file_bytes,
                        PatchWriter& patch) {
  const auto layer = ArchivedLayer::read(source.earlier);
  if (!layer) return patch.mark_truncated();
  const auto earlier = find_changes(layer->root(), source.lower, limits);
  if (earlier.truncated || source.now.truncated) return patch.mark_truncated();
  ArchivedContent content(*layer, source.scratch);
  TurnDifference difference(source, content, nullptr, limits.deadline);
  difference.find(earlier);
  if (!content.fetch(source.earlier, difference.shown_of(*layer, file_bytes))) patch.mark_truncated();
  difference.write(patch);
}

}  // namespace

void write_turn_patch(const TurnPatchSource& source, const WalkLimits& limits, std::uint64_t file_bytes,
                      PatchWriter& patch) {
  if (source.earlier >= 0) return write_from_archive(source, limits, file_bytes, patch);
  write_from_layers(source, limits, patch);
}

}  // namespace agentrouter::workspace
