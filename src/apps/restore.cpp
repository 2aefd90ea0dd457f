#include <unistd.h>

#include <cerrno>

#include "apps/backup.h"
#include "apps/backup_manifest.h"
#include "apps/copied_files.h"
#include "base/file.h"
#include "store/sqlite/snapshot.h"

namespace agentrouter::apps {
namespace {

namespace fs = std::filesystem;

base::Result<void> copy_checked(const fs::path& from, const fs::path& to, const ManifestEntry& entry) {
  if (auto made = base::make_directories(to.parent_path()); !made) return made;
  const auto copied = copy_durably(from, to);
  if (!copied && copied.error().code != base::Code::not_found) return tl::unexpected(copied.error());
  if (!copied || copied->sha256 != entry.sha256 || copied->bytes != entry.bytes)
    return base::fail(base::Code::corrupt, "the backup is damaged: " + entry.path + " is not what was written",
                      "backup_damaged");
  return {};
}

base::Result<void> copy_checked_tree(const fs::path& from, const fs::path& to, const ManifestEntry& entry) {
  if (auto made = base::make_directories(to.parent_path()); !made) return made;
  if (auto copied = copy_tree(from, to); !copied) return copied;
  AGENTROUTER_TRY(const CopiedFile found, digest_of_tree(to));
  if (found.sha256 != entry.sha256)
    return base::fail(base::Code::corrupt, "the backup is damaged: the tree " + entry.path + " is not what was written",
                      "backup_damaged");
  return {};
}

base::Result<void> fill(const fs::path& from, const fs::path& data, const Manifest& manifest) {
  for (const auto& blob : manifest.blobs) {
    if (auto copied = copy_checked(blob_place(from, blob), data / "blobs" / blob.path, blob); !copied) return copied;
  }
  for (const auto& tree : manifest.trees) {
    if (auto copied = copy_checked_tree(from / "trees" / tree.path, data / "trees" / tree.path, tree); !copied)
      return copied;
  }
  for (const auto& file : manifest.files) {
    if (auto copied = copy_checked(from / "files" / file.path, data / file.path, file); !copied) return copied;
  }
  const auto database = data / database_name;
  if (auto copied = copy_checked(from / manifest.database.path, database, manifest.database); !copied) return copied;
  return store::add_checksums(database);
}

base::Result<bool> has_sealed(const fs::path& database) {
  AGENTROUTER_TRY(store::Connection connection, store::open_as_guest(database));
  return store::has_sealed_values(connection);
}

// Whether there is room for the folder; an empty one makes way for it.
base::Result<void> make_way(const fs::path& data) {
  std::error_code error;
  if (!fs::exists(data, error)) return base::make_directories(data.parent_path());
  if (!fs::is_directory(data, error) || !fs::is_empty(data, error))
    return base::fail(base::Code::conflict,
                      "cannot restore to " + data.string() + ": it is not empty. Name a folder that is not there yet",
                      "data_in_use");
  if (::rmdir(data.c_str()) != 0) return base::fail_errno("cannot replace " + data.string(), errno);
  return {};
}

}  // namespace

base::Result<RestoreReport> restore_backup(const fs::path& from, const fs::path& given) {
  auto data = fs::absolute(given).lexically_normal();
  if (data.filename().empty()) data = data.parent_path();
  AGENTROUTER_TRY(const Manifest manifest, read_manifest(from));
  if (auto ready = make_way(data); !ready) return tl::unexpected(ready.error());
  const auto parent = data.parent_path();
  const auto name = data.filename().string() + ".restoring";
  if (auto removed = remove_folder(parent, name); !removed) return tl::unexpected(removed.error());
  if (auto made = base::make_directories(parent / name); !made) return tl::unexpected(made.error());
  auto filled = fill(fs::absolute(from), parent / name, manifest);
  bool sealed = false;
  if (filled) {
    const auto found = has_sealed(fs::absolute(from) / manifest.database.path);
    if (!found) filled = tl::unexpected(found.error());
    sealed = found.value_or(false);
  }
  if (filled && ::rename((parent / name).c_str(), data.c_str()) != 0)
    filled = base::fail_errno("cannot rename to " + data.string(), errno);
  if (!filled) {
    (void)remove_folder(parent, name);
    return tl::unexpected(filled.error());
  }
  if (auto synced = base::sync_directory(parent); !synced) return tl::unexpected(synced.error());
  return RestoreReport{.blobs = static_cast<std::int64_t>(manifest.blobs.size()),
                       .trees = static_cast<std::int64_t>(manifest.trees.size()),
                       .files = static_cast<std::int64_t>(manifest.files.size()),
                       .made_at = manifest.made_at,
                       .sealed = sealed,
                       .lost = manifest.lost};
}

}  // namespace agentrouter::apps
