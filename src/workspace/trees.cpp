#include "workspace/trees.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "base/file.h"
#include "base/json.h"
#include "workspace/layer.h"
#include "workspace/remove.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;

namespace {

constexpr std::string_view info_name = "info.json";
constexpr unsigned most_depth = 1024;       // more than UnpackLimits::depth may be
constexpr std::uint64_t entry_cost = 1024;  // of a file or folder beside its bytes

bool is_tree_name(std::string_view name) {
  return !name.empty() && name.size() <= 200 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-';
  });
}

Fd open_below(int folder, const std::string& name, int flags) {
  return Fd(::openat(folder, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
}

Result<UnpackReport> read_info(int folder, const std::string& name) {
  const Fd file = open_below(folder, name + "/" + std::string(info_name), O_RDONLY);
  if (!file) return fail(Code::not_found, "there is no tree " + name);
  AGENTROUTER_TRY(const auto text, base::read_all(file.get(), 4096));
  return parse_unpack_report(text);
}

std::uint64_t cost_of(const UnpackReport& content) {
  return content.bytes + entry_cost * (content.files + content.folders + 1);
}

}  // namespace

// Who holds what, and what is being made: shared with the holds, which may outlive the Trees.
struct Trees::Shelf {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> held;
  std::set<std::string> making;

  static std::shared_ptr<void> hold(const std::shared_ptr<Shelf>& shelf, const std::string& name) {
    ++shelf->held[name];
    return std::shared_ptr<void>(nullptr, [shelf, name](void*) {
      const std::lock_guard lock(shelf->mutex);
      if (--shelf->held[name] == 0) shelf->held.erase(name);
    });
  }
};

Trees::Trees(Opened, std::filesystem::path folder, Fd fd, TreeRules rules, base::Entropy& entropy)
    : folder_(std::move(folder)),
      fd_(std::move(fd)),
      rules_(rules),
      entropy_(entropy),
      shelf_(std::make_shared<Shelf>()) {}

Result<std::unique_ptr<Trees>> Trees::open(const std::filesystem::path& folder, TreeRules rules,
                                           base::Entropy& entropy) {
  if (auto made = base::make_directories(folder); !made) return tl::unexpected(made.error());
  AGENTROUTER_TRY(Fd fd, base::open_directory(folder));
  auto trees = std::make_unique<Trees>(Opened{}, folder, std::move(fd), rules, entropy);
  if (auto swept = trees->sweep(); !swept) return tl::unexpected(swept.error());
  return trees;
}

Result<void> Trees::sweep() {
  AGENTROUTER_TRY(const auto names, Folder::root(fd_.get()).names(~0ull));
  for (const auto& name : names) {
    if (is_tree_name(name)) continue;
    if (auto done = remove(fd_.get(), name, most_depth); !done) return done;
  }
  return {};
}

std::filesystem::path Trees::path_of(const std::string& name) const {
  return folder_ / name / "tree";
}

Result<Trees::Held> Trees::find(const std::string& name) {
  const std::lock_guard lock(shelf_->mutex);
  return look_up(name);
}

Result<Trees::Held> Trees::find_any(const std::string& prefix) {
  const std::lock_guard lock(shelf_->mutex);
  AGENTROUTER_TRY(const auto names, Folder::root(fd_.get()).names(~0ull));
  for (const auto& name : names) {
    if (name.starts_with(prefix) && is_tree_name(name)) return look_up(name);
  }
  return fail(Code::not_found, "there is no such tree");
}

// With the mutex held: nobody puts it away between the look and the hold.
Result<Trees::Held> Trees::look_up(const std::string& name) {
  if (!is_tree_name(name)) return fail(Code::not_found, "there is no such tree");
  AGENTROUTER_TRY(const auto content, read_info(fd_.get(), name));
  (void)::utimensat(fd_.get(), (name + "/" + std::string(info_name)).c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  return Held{name, path_of(name), content, true, Shelf::hold(shelf_, name)};
}

Result<Trees::Held> Trees::make(const std::string& name, const Fill& fill) {
  if (!is_tree_name(name)) return fail(Code::internal, "a tree cannot have this name");
  {
    std::unique_lock lock(shelf_->mutex);
    while (shelf_->making.contains(name)) shelf_->changed.wait(lock);
    if (auto found = look_up(name)) return found;
    shelf_->making.insert(name);
  }
  auto made = build(name, fill);
  const std::lock_guard lock(shelf_->mutex);
  shelf_->making.erase(name);
  shelf_->changed.notify_all();
  return made;
}

Result<Trees::Held> Trees::build(const std::string& name, const Fill& fill) {
  const std::string temporary = ".new-" + base::new_uuid(entropy_);
  const auto content = fill_folder(temporary, fill);
  if (!content) {
    (void)remove(fd_.get(), temporary, most_depth);
    return tl::unexpected(content.error());
  }
  const std::lock_guard lock(shelf_->mutex);
  if (::renameat(fd_.get(), temporary.c_str(), fd_.get(), name.c_str()) != 0 || ::fsync(fd_.get()) != 0) {
    const int error = errno;
    (void)remove(fd_.get(), temporary, most_depth);
    return fail_errno("cannot keep the tree", error);
  }
  return Held{name, path_of(name), *content, false, Shelf::hold(shelf_, name)};
}

Result<UnpackReport> Trees::fill_folder(const std::string& temporary, const Fill& fill) {
  if (::mkdirat(fd_.get(), temporary.c_str(), 0755) != 0) return fail_errno("cannot make a tree", errno);
  const Fd place = open_below(fd_.get(), temporary, O_RDONLY | O_DIRECTORY);
  if (!place || ::mkdirat(place.get(), "tree", 0755) != 0) return fail_errno("cannot make a tree", errno);
  const Fd tree = open_below(place.get(), "tree", O_RDONLY | O_DIRECTORY);
  if (!tree || ::fchmod(tree.get(), 0755) != 0 || ::fchmod(place.get(), 0755) != 0)
    return fail_errno("cannot make a tree", errno);
  AGENTROUTER_TRY(const auto content, fill(tree.get()));
  const Fd info = open_below(place.get(), std::string(info_name), O_WRONLY | O_CREAT | O_EXCL);
  if (!info) return fail_errno("cannot make a tree", errno);
  if (auto written = base::write_all(info.get(), to_json(content) + "\n"); !written)
    return tl::unexpected(written.error());
  // One call for all files instead of one for each.
  if (::syncfs(place.get()) != 0) return fail_errno("cannot put a tree on the disk", errno);
  return content;
}

std::vector<Trees::Stored> Trees::stored() const {
  std::vector<Stored> all;
  const auto names = Folder::root(fd_.get()).names(~0ull);
  for (const auto& name : names.value_or(std::vector<std::string>())) {
    const auto content = is_tree_name(name) ? read_info(fd_.get(), name) : fail(Code::not_found, "");
    struct stat info{};
    const auto file = name + "/" + std::string(info_name);
    if (!content || ::fstatat(fd_.get(), file.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    all.push_back({name, cost_of(*content), info.st_mtim});
  }
  std::sort(all.begin(), all.end(), [](const Stored& a, const Stored& b) {
    return std::tie(a.used.tv_sec, a.used.tv_nsec, a.name) < std::tie(b.used.tv_sec, b.used.tv_nsec, b.name);
  });
  return all;
}

// Out of everybody's sight at once; its files go afterwards.
bool Trees::put_away(const Stored& tree, const std::vector<std::string>& in_use) {
  const auto gone = ".gone-" + tree.name;
  {
    const std::lock_guard lock(shelf_->mutex);
    const bool used = std::find(in_use.begin(), in_use.end(), tree.name) != in_use.end();
    if (used || shelf_->held.contains(tree.name)) return false;
    if (::renameat(fd_.get(), tree.name.c_str(), fd_.get(), gone.c_str()) != 0) return false;
  }
  (void)remove(fd_.get(), gone, most_depth);
  return true;
}

bool Trees::fits() const {
  std::uint64_t total = 0;
  for (const auto& tree : stored()) total += tree.bytes;
  return total <= rules_.max_bytes;
}

bool Trees::trim(const std::vector<std::string>& in_use) {
  const auto all = stored();
  std::uint64_t total = 0;
  for (const auto& tree : all) total += tree.bytes;
  for (const auto& tree : all) {
    if (total <= rules_.max_bytes) break;
    if (put_away(tree, in_use)) total -= tree.bytes;
  }
  return total <= rules_.max_bytes;
}

}  // namespace agentrouter::workspace
