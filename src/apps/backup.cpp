#include "apps/backup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "apps/backup_manifest.h"
#include "apps/blob_config.h"
#include "apps/copied_files.h"
#include "base/file.h"
#include "store/sqlite/snapshot.h"

namespace agentrouter::apps {
namespace {

namespace fs = std::filesystem;

// How often a newer state of the database is taken when bytes were deleted while they were being copied.
constexpr int snapshots_at_most = 5;

class Backup {
 public:
  Backup(fs::path data, fs::path to) : data_(std::move(data)), to_(std::move(to)) {}

  base::Result<BackupReport> make(base::Time now) {
    if (auto ready = prepare(); !ready) return tl::unexpected(ready.error());
    manifest_.made_at = base::to_iso(now);
    if (auto copied = copy_state(now); !copied) return tl::unexpected(copied.error());
    if (auto copied = copy_trees(); !copied) return tl::unexpected(copied.error());
    if (auto copied = copy_files(); !copied) return tl::unexpected(copied.error());
    if (auto checked = check_backup(to_, manifest_); !checked) return tl::unexpected(checked.error());
    if (auto written = write_manifest(to_, manifest_); !written) return tl::unexpected(written.error());
    if (auto tidied = tidy(); !tidied) return tl::unexpected(tidied.error());
    report_.database_bytes = manifest_.database.bytes;
    report_.blobs = static_cast<std::int64_t>(manifest_.blobs.size());
    report_.trees = static_cast<std::int64_t>(manifest_.trees.size());
    report_.files = static_cast<std::int64_t>(manifest_.files.size());
    for (const auto& blob : manifest_.blobs) report_.blob_bytes += blob.bytes;
    report_.lost = manifest_.lost;
    return report_;
  }

 private:
  base::Result<void> prepare() {
    std::error_code error;
    const auto real_data = fs::weakly_canonical(data_, error);
    const auto real_to = fs::weakly_canonical(to_, error);
    const auto [rest, unused] = std::mismatch(real_data.begin(), real_data.end(), real_to.begin(), real_to.end());
    if (rest == real_data.end())
      return base::fail(base::Code::invalid, "cannot make a backup within the data folder itself: choose another folder");
    if (fs::exists(to_, error)) {
      const bool ours = fs::exists(to_ / manifest_name, error) || fs::is_empty(to_, error);
      if (!ours && !fs::exists(to_ / "blobs", error))
        return base::fail(base::Code::invalid,
                          "cannot make a backup in " + to_.string() + ": the folder holds something else");
    }
    for (const char* below : {"", "blobs", "trees", "files"}) {
      if (auto made = base::make_directories(to_ / below); !made) return made;
    }
    if (::chmod(to_.c_str(), 0700) != 0) return base::fail_errno("cannot close " + to_.string(), errno);
    return {};
  }

  // Database and blobs that fit to each other.
  base::Result<void> copy_state(base::Time now) {
    std::string name = "database-" + std::to_string(now.time_since_epoch().count());
    std::set<std::string> gone;
    for (int turn = 1; turn <= snapshots_at_most; ++turn) {
      const auto file = name + "-" + std::to_string(turn) + ".db";
      if (auto copied = store::copy_database(data_ / database_name, to_ / file); !copied) return copied;
      manifest_.database = {.path = file};
      auto missed = copy_blobs(file);
      if (!missed) return tl::unexpected(missed.error());
      // What two states in a row name and nobody has is lost; what only one names was deleted meanwhile.
      const bool stays = std::all_of(missed->begin(), missed->end(), [&](const auto& key) { return gone.contains(key); });
      if (stays || turn == snapshots_at_most) {
        manifest_.lost.assign(missed->begin(), missed->end());
        return {};
      }
      gone.insert(missed->begin(), missed->end());
    }
    return {};
  }

  // The keys of those that are not there as they were written.
  base::Result<std::set<std::string>> copy_blobs(const std::string& database) {
    AGENTROUTER_TRY(store::Connection connection, store::open_as_guest(to_ / database));
    std::set<std::string> missed;
    manifest_.blobs.clear();
    report_.elsewhere = blobs_elsewhere(data_);
    for (const auto& blob : store::named_blobs(connection)) {
      if (!report_.elsewhere.empty()) break;
      AGENTROUTER_TRY(const bool there, copy_blob(blob));
      if (there) {
        manifest_.blobs.push_back({.path = blob.key, .bytes = blob.size, .sha256 = blob.sha256});
      } else {
        missed.insert(blob.key);
      }
    }
    manifest_.tree_names = store::reader_of(connection)->trees_in_use();
    return missed;
  }

  base::Result<bool> copy_blob(const store::NamedBlob& blob) {
    if (blob.sha256.size() != 64) return false;
    const auto folder = to_ / "blobs" / blob.sha256.substr(0, 2);
    const auto place = folder / blob.sha256;
    const auto known = digest_of(place);
    if (known && known->sha256 == blob.sha256) return true;
    if (auto made = base::make_directories(folder); !made) return tl::unexpected(made.error());
    const auto copied = copy_durably(data_ / "blobs" / blob.key, place);
    if (!copied && copied.error().code != base::Code::not_found) return tl::unexpected(copied.error());
    if (copied && copied->sha256 == blob.sha256) {
      ++report_.copied;
      return true;
    }
    ::unlink(place.c_str());
    return false;
  }

  // A tree is never written to again, so that one of the same name is the same.
  base::Result<void> copy_trees() {
    for (const auto& name : manifest_.tree_names) {
      const auto from = data_ / "trees" / name;
      const auto place = to_ / "trees" / name;
      std::error_code error;
      if (!fs::exists(from, error)) {
        manifest_.lost.push_back("trees/" + name);
        continue;
      }
      AGENTROUTER_TRY(const CopiedFile there, digest_of_tree(from));
      auto known = digest_of_tree(place);
      if (!known || known->sha256 != there.sha256) {
        if (auto removed = remove_folder(to_ / "trees", name); !removed) return removed;
        if (auto copied = copy_tree(from, place); !copied) return copied;
      }
      manifest_.trees.push_back({.path = name, .bytes = there.bytes, .sha256 = there.sha256});
    }
    return {};
  }

  base::Result<void> copy_files() {
    AGENTROUTER_TRY(const auto names, small_files_of(data_));
    for (const auto& name : names) {
      const auto to = to_ / "files" / name;
      if (auto made = base::make_directories(to.parent_path()); !made) return made;
      auto copied = copy_durably(data_ / name, to);
      if (!copied && copied.error().code == base::Code::not_found) continue;
      if (!copied) return tl::unexpected(copied.error());
      manifest_.files.push_back({.path = name, .bytes = copied->bytes, .sha256 = copied->sha256});
    }
    return {};
  }

  // What the manifest does not name any more.
  base::Result<void> tidy() {
    std::set<std::string> kept{std::string(manifest_name), manifest_.database.path};
    for (const auto& blob : manifest_.blobs) kept.insert("blobs/" + blob.sha256.substr(0, 2) + "/" + blob.sha256);
    for (const auto& file : manifest_.files) kept.insert("files/" + file.path);
    AGENTROUTER_TRY(const auto all, files_below(to_));
    for (const auto& file : all) {
      if (!file.starts_with("trees/") && !kept.contains(file)) ::unlink((to_ / file).c_str());
    }
    std::set<std::string> trees;
    for (const auto& tree : manifest_.trees) trees.insert(tree.path);
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(to_ / "trees", error)) {
      const auto name = entry.path().filename().string();
      if (trees.contains(name)) continue;
      if (auto removed = remove_folder(to_ / "trees", name); !removed) return removed;
    }
    return {};
  }

  const fs::path data_;
  const fs::path to_;
  Manifest manifest_;
  BackupReport report_;
};

}  // namespace

base::Result<BackupReport> make_backup(const fs::path& data, const fs::path& to, const base::Clock& clock) {
  return Backup(fs::absolute(data), fs::absolute(to)).make(clock.now());
}

}  // namespace agentrouter::apps
