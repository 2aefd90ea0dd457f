#include "workspace/walk.h"

#include <algorithm>

#include "base/ascii.h"
#include "workspace/archived_layer.h"

namespace agentrouter::workspace {

namespace {

constexpr std::size_t max_path_bytes = 3800;  // with a name of 255 it still fits a system call

// What holds in one folder. `merged` rules are those that the agent sees, `base` those of the base tree: they
// judge deletions, because what git ignored before can be deleted without a trace.
struct Scope {
  std::string path;  // with its "/", empty at the root
  IgnoreRules::Ptr merged;
  IgnoreRules::Ptr base;
  bool ignored = false;  // the folder itself is
  bool base_ignored = false;
  bool hidden = false;  // an opaque folder above: the base does not show through
  unsigned depth = 0;
};

template <class Upper>
class Walk {
 public:
  Walk(const Folder& lower_root, const WalkLimits& limits) : lower_root_(lower_root), limits_(limits) {}

  void start(const Upper& upper);
  Changes take();

 private:
  void visit(const Upper& upper, const Folder& lower, Scope scope);
  void visit_entry(const Upper& upper, const Folder& lower, const Scope& scope, const std::string& name);
  void remove_folder(const Folder& lower, Scope scope);
  void remove_entry(const Folder& lower, const Scope& scope, const std::string& name);

  Scope enter(const Scope& scope, const std::string& name) const;
  void load_rules(const Upper& upper, const Folder& lower, Scope& scope);
  template <class Layer>
  IgnoreRules::Ptr read_rules(const Layer& folder, const std::string& file, const IgnoreRules::Ptr& above,
                              std::size_t prefix);
  void record(const Scope& scope, const std::string& name, Node before, Node after);
  template <class Layer>
  std::vector<std::string> names(const Layer& folder);
  template <class Layer>
  Layer open(const Layer& folder, const std::string& name);
  bool out_of_bounds(const Scope& scope);
  const std::optional<TrackedPaths>& tracked();
  bool is_tracked(std::string_view path);
  bool has_tracked_below(std::string_view folder);

  const Folder& lower_root_;
  const WalkLimits& limits_;
  Changes changes_;
  std::uint64_t seen_ = 0;
  bool full_ = false;
  bool tracked_loaded_ = false;
  std::optional<TrackedPaths> tracked_;  // none: everything in the base counts as tracked
};

template <class Upper>
Scope Walk<Upper>::enter(const Scope& scope, const std::string& name) const {
  Scope inner = scope;
  const auto path = scope.path + name;
  inner.ignored = scope.ignored || IgnoreRules::ignores(scope.merged, path, true);
  inner.base_ignored = scope.base_ignored || IgnoreRules::ignores(scope.base, path, true);
  inner.path = path + "/";
  inner.depth = scope.depth + 1;
  return inner;
}

template <class Upper>
template <class Layer>
IgnoreRules::Ptr Walk<Upper>::read_rules(const Layer& folder, const std::string& file,
                                  const IgnoreRules::Ptr& above, std::size_t prefix) {
  auto text = folder.read(file, Kind::file, IgnoreRules::max_bytes);
  return text ? IgnoreRules::add(above, *text, prefix) : above;
}

template <class Upper>
void Walk<Upper>::load_rules(const Upper& upper, const Folder& lower, Scope& scope) {
  const std::string file = ".gitignore";
  const bool shared = scope.merged == scope.base;
  const auto base_before = scope.base;
  if (lower.stat(file).kind == Kind::file)
    scope.base = read_rules(lower, file, base_before, scope.path.size());
  const auto above = upper.stat(file).kind;
  if (above == Kind::file) {
    scope.merged = read_rules(upper, file, scope.merged, scope.path.size());
  } else if (above == Kind::absent && !scope.hidden) {
    scope.merged = shared ? scope.base : read_rules(lower, file, scope.merged, scope.path.size());
  }
}

template <class Upper>
const std::optional<TrackedPaths>& Walk<Upper>::tracked() {
  if (!tracked_loaded_) {
    tracked_loaded_ = true;
    if (const auto index = lower_root_.read(".git/index", Kind::file, limits_.git_index_bytes)) {
      if (auto parsed = TrackedPaths::parse(*index)) tracked_ = std::move(*parsed);
    }
  }
  return tracked_;
}

template <class Upper>
bool Walk<Upper>::is_tracked(std::string_view path) {
  return !tracked() || tracked()->contains(path);
}

template <class Upper>
bool Walk<Upper>::has_tracked_below(std::string_view folder) {
  return !tracked() || tracked()->has_below(folder);
}

template <class Upper>
bool Walk<Upper>::out_of_bounds(const Scope& scope) {
  ++seen_;
  const bool late = seen_ % 256 == 0 && std::chrono::steady_clock::now() > limits_.deadline;
  full_ = full_ || late || seen_ > limits_.entries || changes_.list.size() >= limits_.changes;
  const bool too_deep = scope.depth > limits_.depth || scope.path.size() > max_path_bytes;
  if (full_ || too_deep) changes_.truncated = true;
  return full_ || too_deep;
}

template <class Upper>
template <class Layer>
std::vector<std::string> Walk<Upper>::names(const Layer& folder) {
  auto found = folder.names(limits_.entries);
  if (!found) changes_.truncated = true;
  return found ? std::move(*found) : std::vector<std::string>();
}

template <class Upper>
template <class Layer>
Layer Walk<Upper>::open(const Layer& folder, const std::string& name) {
  auto opened = folder.open(name);
  if (!opened) changes_.truncated = true;
  return opened ? std::move(*opened) : Layer();
}

template <class Upper>
void Walk<Upper>::record(const Scope& scope, const std::string& name, Node before, Node after) {
  if (!before.is_content()) before = {};
  if (!after.is_content()) after = {};
  if (!before.is_content() && !after.is_content()) return;
  auto path = scope.path + name;
  const bool ignored = scope.ignored || IgnoreRules::ignores(scope.merged, path, false);
  if (!before.is_content()) {
    if (ignored) return;
  } else if (after.is_content()) {
    if (ignored && !is_tracked(path)) return;
  } else {
    const bool was_ignored = scope.base_ignored || IgnoreRules::ignores(scope.base, path, false);
    if ((ignored || was_ignored) && !is_tracked(path)) return;
  }
  changes_.list.push_back({std::move(path), before, after});
}

template <class Upper>
void Walk<Upper>::visit(const Upper& upper, const Folder& lower, Scope scope) {
  load_rules(upper, lower, scope);
  const auto above = names(upper);
  for (const auto& name : above) {
    if (is_git_folder(name)) continue;
    if (out_of_bounds(scope)) return;
    visit_entry(upper, lower, scope, name);
  }
  if (!scope.hidden) return;
  for (const auto& name : names(lower)) {
    if (is_git_folder(name) || std::binary_search(above.begin(), above.end(), name)) continue;
    if (out_of_bounds(scope)) return;
    remove_entry(lower, scope, name);
  }
}

template <class Upper>
void Walk<Upper>::visit_entry(const Upper& upper, const Folder& lower, const Scope& scope,
                       const std::string& name) {
  const auto after = upper.stat(name);
  const auto before = lower.stat(name);
  if (after.kind != Kind::folder) {
    if (before.kind == Kind::folder) remove_entry(lower, scope, name);
    record(scope, name, before, after);
    return;
  }
  if (before.kind != Kind::folder) record(scope, name, before, {});
  auto inner = enter(scope, name);
  if (inner.ignored && (before.kind != Kind::folder || !has_tracked_below(inner.path))) return;
  const auto upper_folder = open(upper, name);
  if (!upper_folder) return;
  inner.hidden = scope.hidden || upper_folder.is_opaque();
  visit(upper_folder, before.kind == Kind::folder ? open(lower, name) : Folder(), std::move(inner));
}

template <class Upper>
void Walk<Upper>::remove_entry(const Folder& lower, const Scope& scope, const std::string& name) {
  const auto before = lower.stat(name);
  if (before.kind != Kind::folder) return record(scope, name, before, {});
  auto inner = enter(scope, name);
  if ((inner.ignored || inner.base_ignored) && !has_tracked_below(inner.path)) return;
  remove_folder(open(lower, name), std::move(inner));
}

// The whole folder is gone, so its own .gitignore is known from the base only.
template <class Upper>
void Walk<Upper>::remove_folder(const Folder& lower, Scope scope) {
  scope.base = read_rules(lower, ".gitignore", scope.base, scope.path.size());
  for (const auto& name : names(lower)) {
    if (is_git_folder(name)) continue;
    if (out_of_bounds(scope)) return;
    remove_entry(lower, scope, name);
  }
}

template <class Upper>
void Walk<Upper>::start(const Upper& upper) {
  Scope scope;
  scope.hidden = upper.is_opaque();
  scope.base = read_rules(lower_root_, ".git/info/exclude", nullptr, 0);
  scope.merged = scope.base;
  visit(upper, lower_root_, std::move(scope));
}

template <class Upper>
Changes Walk<Upper>::take() {
  std::sort(changes_.list.begin(), changes_.list.end(),
            [](const Change& a, const Change& b) { return a.path < b.path; });
  return std::move(changes_);
}

}  // namespace

bool is_git_folder(std::string_view name) {
  return base::equal_without_case(name, ".git");
}

Changes find_changes(const Stack& upper, const Folder& lower, const WalkLimits& limits) {
  Walk<Stack> walk(lower, limits);
  walk.start(upper);
  return walk.take();
}

Changes find_changes(const ArchivedFolder& upper, const Folder& lower, const WalkLimits& limits) {
  Walk<ArchivedFolder> walk(lower, limits);
  walk.start(upper);
  return walk.take();
}

}  // namespace agentrouter::workspace
