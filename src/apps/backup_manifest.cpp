#include "apps/backup_manifest.h"

#include <algorithm>

#include "apps/copied_files.h"
#include "apps/vault_config.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "workspace/remove.h"

namespace agentrouter::apps {
namespace {

namespace fs = std::filesystem;

constexpr int format = 1;
constexpr std::size_t manifest_bytes = 1u << 30;
constexpr unsigned deepest = 4096;

json::object entry_json(const ManifestEntry& entry) {
  return {{"path", entry.path}, {"bytes", entry.bytes}, {"sha256", entry.sha256}};
}

json::array entries_json(const std::vector<ManifestEntry>& entries) {
  json::array all;
  for (const auto& entry : entries) all.push_back(entry_json(entry));
  return all;
}

json::object manifest_json(const Manifest& manifest) {
  json::array lost;
  for (const auto& key : manifest.lost) lost.push_back(json::string(key));
  return {{"format", format},
          {"madeAt", manifest.made_at},
          {"database", entry_json(manifest.database)},
          {"blobs", entries_json(manifest.blobs)},
          {"trees", entries_json(manifest.trees)},
          {"files", entries_json(manifest.files)},
          {"lost", std::move(lost)}};
}

base::Error damaged(const std::string& what) {
  return {base::Code::corrupt, "the backup is damaged: " + what, "backup_damaged"};
}

// Names that stay within their folder.
bool is_inner(const std::string& path) {
  const fs::path given(path);
  return !path.empty() && given.is_relative() &&
         std::none_of(given.begin(), given.end(), [](const fs::path& part) { return part == ".." || part == "."; });
}

base::Result<ManifestEntry> parse_entry(const json::value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return tl::unexpected(damaged("its manifest cannot be read"));
  ManifestEntry entry{.path = std::string(base::get_string(*object, "path").value_or("")),
                      .bytes = base::get_int(*object, "bytes").value_or(-1),
                      .sha256 = std::string(base::get_string(*object, "sha256").value_or(""))};
  if (!is_inner(entry.path) || entry.bytes < 0 || entry.sha256.size() != 64)
    return tl::unexpected(damaged("its manifest cannot be read"));
  return entry;
}

base::Result<std::vector<ManifestEntry>> parse_entries(const json::object& object, const char* name) {
  std::vector<ManifestEntry> all;
  const auto* array = object.contains(name) ? object.at(name).if_array() : nullptr;
  if (array == nullptr) return tl::unexpected(damaged("its manifest cannot be read"));
  for (const auto& value : *array) {
    AGENTROUTER_TRY(ManifestEntry entry, parse_entry(value));
    all.push_back(std::move(entry));
  }
  return all;
}

base::Result<void> check_entry(const fs::path& place, const ManifestEntry& entry, bool tree = false) {
  auto found = tree ? digest_of_tree(place) : digest_of(place);
  if (!found && found.error().code == base::Code::not_found)
    return tl::unexpected(damaged(entry.path + " is not there"));
  if (!found) return tl::unexpected(found.error());
  if (found->sha256 != entry.sha256 || found->bytes != entry.bytes)
    return tl::unexpected(damaged(entry.path + " is not what was written"));
  return {};
}

}  // namespace

base::Result<void> check_backup(const fs::path& backup, Manifest& manifest) {
  if (manifest.database.sha256.empty()) {
    AGENTROUTER_TRY(const CopiedFile database, digest_of(backup / manifest.database.path));
    manifest.database.bytes = database.bytes;
    manifest.database.sha256 = database.sha256;
  }
  if (auto whole = check_entry(backup / manifest.database.path, manifest.database); !whole) return whole;
  for (const auto& blob : manifest.blobs) {
    if (auto whole = check_entry(blob_place(backup, blob), blob); !whole) return whole;
  }
  for (const auto& tree : manifest.trees) {
    if (auto whole = check_entry(backup / "trees" / tree.path, tree, true); !whole) return whole;
  }
  for (const auto& file : manifest.files) {
    if (auto whole = check_entry(backup / "files" / file.path, file); !whole) return whole;
  }
  return {};
}

base::Result<void> write_manifest(const fs::path& backup, const Manifest& manifest) {
  json::object body = manifest_json(manifest);
  auto digest = base::Sha256::hex_of(base::to_canonical(body));
  const json::object whole{{"manifest", std::move(body)}, {"sha256", std::move(digest)}};
  return base::write_file_durably(backup / manifest_name, base::to_text(whole) + "\n", 0600);
}

base::Result<Manifest> read_manifest(const fs::path& backup) {
  const auto text = base::read_file(backup / manifest_name, manifest_bytes);
  if (!text) {
    if (text.error().code != base::Code::not_found) return tl::unexpected(text.error());
    return base::fail(base::Code::not_found, "there is no backup in " + backup.string());
  }
  const auto value = base::parse_json(*text, {.max_depth = 16, .max_bytes = manifest_bytes});
  const auto* outer = value ? value->if_object() : nullptr;
  const auto* body = outer != nullptr ? base::get_object(*outer, "manifest") : nullptr;
  if (body == nullptr || base::get_string(*outer, "sha256") != base::Sha256::hex_of(base::to_canonical(*body)))
    return tl::unexpected(damaged("its manifest is not what was written"));
  if (base::get_int(*body, "format") != format)
    return base::fail(base::Code::unsupported, "the backup was made by a newer version");
  Manifest manifest;
  manifest.made_at = base::get_string(*body, "madeAt").value_or("");
  const auto* database = body->if_contains("database");
  AGENTROUTER_TRY(manifest.database, parse_entry(database != nullptr ? *database : json::value()));
  AGENTROUTER_TRY(manifest.blobs, parse_entries(*body, "blobs"));
  AGENTROUTER_TRY(manifest.trees, parse_entries(*body, "trees"));
  AGENTROUTER_TRY(manifest.files, parse_entries(*body, "files"));
  if (const auto* lost = body->if_contains("lost"); lost != nullptr && lost->is_array()) {
    for (const auto& key : lost->get_array()) {
      if (key.is_string()) manifest.lost.emplace_back(key.get_string());
    }
  }
  return manifest;
}

fs::path blob_place(const fs::path& backup, const ManifestEntry& blob) {
  return backup / "blobs" / blob.sha256.substr(0, 2) / blob.sha256;
}

base::Result<std::vector<std::string>> small_files_of(const fs::path& data) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(data, error), end; !error && at != end; at.increment(error)) {
    const auto name = at->path().filename().string();
    const bool state = name.starts_with("agentrouter.db") || name == "server.json" ||
                       name.starts_with("server.log") || name == own_master_key_name || name == "host_id" ||
                       name.ends_with(".lock") || name.ends_with(".part");
    if (at->symlink_status().type() == fs::file_type::regular && !state) names.push_back(name);
  }
  if (error) return base::fail_errno("cannot read " + data.string(), error.value());
  if (fs::is_directory(data / "policies", error)) {
    AGENTROUTER_TRY(const auto policies, files_below(data / "policies"));
    for (const auto& policy : policies) names.push_back("policies/" + policy);
  }
  std::sort(names.begin(), names.end());
  return names;
}

base::Result<void> remove_folder(const fs::path& parent, const std::string& name) {
  AGENTROUTER_TRY(const base::Fd folder, base::open_directory(parent));
  return workspace::remove(folder.get(), name, deepest);
}

}  // namespace agentrouter::apps
