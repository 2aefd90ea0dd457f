#include "apps/fsck.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "apps/backup_manifest.h"
#include "apps/blob_config.h"
#include "apps/copied_files.h"
#include "base/fd.h"
#include "keeper/journal.h"
#include "model/audit.h"
#include "store/sqlite/checked_vfs.h"
#include "store/sqlite/folder_lock.h"
#include "store/sqlite/inspect_texts.h"
#include "store/sqlite/snapshot.h"
#include "vault/values.h"

namespace agentrouter::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* from_a_backup = "restore it from a backup, or live without it";
constexpr int audit_page = 500;

class Fsck {
 public:
  Fsck(fs::path data, const FsckOptions& options, base::Time now)
      : data_(std::move(data)), options_(options), now_(now) {}

  base::Result<FsckReport> check() {
    if (options_.repair == Repair::yes) {
      auto lock = store::FolderLock::take(data_);
      if (!lock) return tl::unexpected(lock.error());
      lock_.emplace(std::move(*lock));
    }
    if (auto scanned = check_pages(); !scanned) return tl::unexpected(scanned.error());
    {
      auto database = store::open_as_guest(data_ / database_name);
      if (!database && database.error().code == base::Code::corrupt) {
        damage("database_damaged", database.error().message, "agentrouter.db",
               "restore a backup: agentrouter restore");
        return std::move(report_);
      }
      if (!database) return tl::unexpected(database.error());
      check_database(*database);
    }
    if (options_.repair == Repair::yes) repair_indices();
    return std::move(report_);
  }

 private:
  base::Result<void> check_pages() {
    auto scan = store::scan_pages(data_ / database_name);
    if (!scan && scan.error().code == base::Code::corrupt) return {};  // opening it says more
    if (!scan) return tl::unexpected(scan.error());
    report_.page_checksums = scan->has_checksums;
    report_.pages = scan->pages;
    for (const auto page : scan->damaged) {
      damage("page_damaged", "a page of the database is not what was written",
             "agentrouter.db, page " + std::to_string(page), "restore a backup: agentrouter restore");
    }
    return {};
  }

  // What cannot be read any more is one finding, and the rest is looked at all the same.
  void check_database(store::Connection& database) {
    const auto tell = [this](store::Finding finding) { tell_damage(std::move(finding)); };
    guarded([&] { store::inspect_trees(database, tell); });
    guarded([&] { store::inspect_rows(database, tell); });
    guarded([&] { store::inspect_texts(database, tell); });
    guarded([&] { check_audit(database); });
    guarded([&] { check_blobs(database); });
    guarded([&] { check_trees(database); });
    guarded([&] { check_journals(database); });
    guarded([&] { check_sealed(database); });
  }

  template <class Work>
  void guarded(Work work) {
    try {
      work();
    } catch (const base::Failure& failure) {
      damage("database_unreadable", failure.error().message, "agentrouter.db",
             "restore a backup: agentrouter restore");
    }
  }

  void check_audit(store::Connection& database) {
    const auto reader = store::reader_of(database);
    std::int64_t after = 0;
    for (bool more = true; more;) {
      const auto workspaces = reader->workspaces(after, audit_page);
      more = static_cast<int>(workspaces.size()) == audit_page;
      for (const auto& workspace : workspaces) {
        after = workspace.number;
        check_chain(*reader, workspace.id);
      }
    }
  }

  void check_chain(store::Reader& reader, const std::string& workspace) {
    model::AuditVerifier verifier;
    std::int64_t after = 0;
    for (bool more = true; more;) {
      const auto entries = reader.audit(workspace, after, audit_page);
      more = static_cast<int>(entries.size()) == audit_page;
      for (const auto& entry : entries) {
        after = entry.number;
        const auto taken = verifier.take(base::to_canonical(entry.to_json()));
        if (!taken) {
          damage(taken.error().reason, "the audit chain is broken: " + taken.error().message,
                 "audit entry " + std::to_string(entry.number) +
                     (workspace == model::default_workspace ? "" : " of workspace " + workspace),
                 "compare with an export: agentrouter audit verify; restore a backup");
          return;
        }
        ++report_.audit_entries;
      }
    }
  }

  void check_blobs(store::Connection& database) {
    std::set<std::string> named;
    report_.elsewhere = blobs_elsewhere(data_);
    if (!report_.elsewhere.empty()) return;
    for (const auto& blob : store::named_blobs(database)) {
      named.insert(blob.key);
      ++report_.blobs;
      const auto found = digest_of(data_ / "blobs" / blob.key);
      if (found && found->sha256 == blob.sha256 && found->bytes == blob.size) continue;
      // Somebody may have deleted it since.
      if (!still_named(blob)) continue;
      if (!found) {
        damage("blob_missing", "the bytes of an " + blob.owner + " cannot be read: " + found.error().message,
               "blobs/" + blob.key, from_a_backup);
      } else {
        damage("blob_damaged", "the bytes of an " + blob.owner + " are not what was written",
               "blobs/" + blob.key, from_a_backup);
      }
    }
    for (const auto& attempt : store::reader_of(database)->open_attempts())
      working_.insert(attempt.run_id.str());
    find_leftovers(named);
  }

  bool still_named(const store::NamedBlob& blob) {
    auto fresh = store::open_as_guest(data_ / database_name);
    if (!fresh) return true;
    const auto now = store::named_blobs(*fresh);
    return std::any_of(now.begin(), now.end(), [&](const store::NamedBlob& other) {
      return other.key == blob.key && other.sha256 == blob.sha256;
    });
  }

  void find_leftovers(const std::set<std::string>& named) {
    const auto files = files_below(data_ / "blobs");
    if (!files) return;
    for (const auto& file : *files) {
      const auto place = data_ / "blobs" / file;
      if (named.contains(file) || belongs_to_work(file) || !is_old(place)) continue;
      Problem problem{Severity::leftover,
                      {"blob_orphan", "no row names these bytes", "blobs/" + file,
                       "agentrouter fsck --repair removes them"}};
      if (options_.repair == Repair::yes) problem.repaired = ::unlink(place.c_str()) == 0;
      report_.problems.push_back(std::move(problem));
    }
  }

  // Bytes of a run whose attempt is open will be named when it ends.
  bool belongs_to_work(const std::string& file) const {
    return std::any_of(working_.begin(), working_.end(),
                       [&](const std::string& run) { return file.find(run) != std::string::npos; });
  }

  bool is_old(const fs::path& file) const {
    struct stat info{};
    if (::lstat(file.c_str(), &info) != 0) return false;
    const auto changed = std::chrono::seconds(info.st_mtim.tv_sec);
    return now_.time_since_epoch() - changed >= options_.grace;
  }

  void check_trees(store::Connection& database) {
    for (const auto& tree : store::reader_of(database)->trees_in_use()) {
      std::error_code error;
      if (fs::is_directory(data_ / "trees" / tree / "tree", error)) continue;
      damage("tree_missing", "a base tree that conversations or uploads stand on is not there",
             "trees/" + tree, from_a_backup);
    }
  }

  void check_journals(store::Connection& database) {
    std::set<std::string> open;
    for (const auto& attempt : store::reader_of(database)->open_attempts()) {
      open.insert(attempt.id.str());
      if (attempt.closing.empty()) check_journal(attempt);
    }
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(data_ / "attempts", error)) {
      const auto name = entry.path().filename().string();
      if (!name.starts_with("attempt_") || open.contains(name) || !is_old(entry.path())) continue;
      report_.problems.push_back({Severity::leftover,
                                  {"attempt_leftover", "the folder of an attempt that is over is still there",
                                   "attempts/" + name, "a start of the server removes it"}});
    }
  }

  void check_sealed(store::Connection& database) {
    if (!store::has_sealed_values(database)) return;
    const auto reader = store::reader_of(database);
    std::map<std::pair<std::string, int>, std::optional<vault::Key>> keys;
    for (const auto& row : reader->data_keys()) keys.emplace(std::pair(row.workspace, row.version), open_data_key(row));
    for (const auto& value : vault::stored_values(*reader)) check_value(value, keys);
  }

  std::optional<vault::Key> open_data_key(const store::DataKey& row) {
    if (options_.keyring == nullptr) {
      report_.locked = "no master key was looked for";
      return std::nullopt;
    }
    auto key = options_.keyring->unwrap({row.wrapped_by, row.wrapped}, vault::place_of(row));
    if (key) return std::move(*key);
    const auto& error = key.error();
    if (error.code == base::Code::corrupt)
      damage("sealed_damaged", error.message, "data key " + std::to_string(row.version) + " of " + row.workspace,
             from_a_backup);
    else
      report_.locked = error.message;
    return std::nullopt;
  }

  void check_value(const vault::StoredValue& value,
                   const std::map<std::pair<std::string, int>, std::optional<vault::Key>>& keys) {
    if (!vault::is_sealed(value.text)) return;
    ++report_.sealed_values;
    const auto where = value.place.kind + " " + value.place.id + " of " + value.place.workspace;
    const auto head = vault::read_head(value.text);
    if (!head) return damage("sealed_damaged", head.error().message, where, from_a_backup);
    const auto key = keys.find({value.place.workspace, static_cast<int>(head->key_version)});
    if (key == keys.end())
      return damage("sealed_damaged", "the data key of a sealed value is not there", where, from_a_backup);
    if (!key->second) return;
    if (const auto opened = vault::open(*key->second, value.place, value.text); !opened)
      return damage("sealed_damaged", opened.error().message, where, from_a_backup);
    ++report_.opened_values;
  }

  // The store must not be ahead of the journal.
  void check_journal(const store::Attempt& attempt) {
    const auto where = "attempts/" + attempt.id.str() + "/journal";
    const base::Fd file(::open((data_ / where).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file && attempt.journal_offset == 0) return;  // nothing has been said yet
    const auto fix = "nothing: the run ends with attempt_lost when a server looks at it";
    if (!file) return damage("journal_missing", "the journal of a run that goes on is not there", where, fix);
    ++report_.journals;
    std::uint64_t at = 0;
    const auto offset = static_cast<std::uint64_t>(attempt.journal_offset);
    bool met = offset == 0;
    for (bool more = true; more;) {
      const auto slice = keeper::read_journal(file.get(), at, UINT64_MAX);
      if (!slice) break;
      for (const auto& record : slice->records) met = met || record.end == offset;
      more = slice->more && slice->end > at;
      at = slice->end;
    }
    if (!met)
      damage("journal_behind", "the journal of a run that goes on ends before what the store has of it",
             where, fix);
  }

  void repair_indices() {
    static const std::set<std::string> made_anew{"index_damaged", "newest_event", "totals_wrong",
                                                 "shares_wrong", "search_wrong"};
    const auto repairable = [](const Problem& problem) { return made_anew.contains(problem.finding.code); };
    const auto& all = report_.problems;
    const bool wanted = std::any_of(all.begin(), all.end(), repairable);
    const bool worse = std::any_of(all.begin(), all.end(), [](const Problem& problem) {
      return problem.finding.code.starts_with("database_") || problem.finding.code == "page_damaged";
    });
    if (!wanted || worse) return;
    store::Connection connection(data_ / database_name, store::checked_vfs(""));
    store::rebuild_indices(connection);
    store::rebuild_texts(connection);
    for (auto& problem : report_.problems) problem.repaired = problem.repaired || repairable(problem);
  }

  void tell_damage(store::Finding finding) {
    report_.problems.push_back({Severity::damage, std::move(finding)});
  }
  void damage(std::string code, std::string what, std::string where, std::string fix) {
    tell_damage({std::move(code), std::move(what), std::move(where), std::move(fix)});
  }

  const fs::path data_;
  const FsckOptions options_;
  const base::Time now_;
  std::optional<store::FolderLock> lock_;
  std::set<std::string> working_;
  FsckReport report_;
};

}  // namespace

std::string_view to_string(Severity severity) {
  return severity == Severity::damage ? "damage" : "leftover";
}

bool FsckReport::ok() const {
  return std::none_of(problems.begin(), problems.end(), [](const Problem& problem) {
    return problem.severity == Severity::damage && !problem.repaired;
  });
}

base::Result<FsckReport> check_data(const fs::path& data, const FsckOptions& options,
                                    const base::Clock& clock) {
  return Fsck(fs::absolute(data), options, clock.now()).check();
}

}  // namespace agentrouter::apps
