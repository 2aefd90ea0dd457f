#include "apps/migrate.h"

#include "apps/backup_manifest.h"
#include "model/audit.h"
#include "store/postgres/failure.h"
#include "store/postgres/sqlite_source.h"
#include "store/sqlite/folder_lock.h"
#include "store/sqlite/snapshot.h"
#include "store/sqlite/sqlite_store.h"

namespace agentrouter::apps {

namespace {

namespace fs = std::filesystem;
namespace postgres = store::postgres;

constexpr int copied_page = 500;

// Brings the schema up to date and leaves no log beside the database.
base::Result<void> settle_source(const fs::path& database, std::shared_ptr<store::FolderLock> lock) {
  std::error_code error;
  if (!fs::is_regular_file(database, error))
    return base::fail(base::Code::not_found, "there is no history to move: " + database.string() +
                                                 " is not there; is --data right?");
  AGENTROUTER_TRY(const auto store, store::open_sqlite_store(database, {.lock = std::move(lock)}));
  store->close();
  return {};
}

postgres::SessionOptions session_options(const postgres::PostgresOptions& to) {
  postgres::SessionOptions options;
  options.url = to.url;
  options.application = "agentrouter migrate";
  options.prepared = to.prepared;
  options.connect_timeout = to.connect_timeout;
  options.statement_timeout = {};
  options.lock_timeout = {};
  options.idle_timeout = {};
  return options;
}

std::vector<std::string> audited_workspaces(store::Connection& from) {
  std::vector<std::string> names;
  postgres::SourceRows rows(from, "SELECT DISTINCT workspace FROM audit");
  while (rows.next()) names.push_back(rows.text(0));
  return names;
}

// Throws Failure(corrupt) where the chain is broken.
std::int64_t follow_chain(store::Reader& reader, const std::string& workspace) {
  model::AuditVerifier verifier;
  std::int64_t after = 0;
  std::int64_t count = 0;
  for (bool more = true; more;) {
    const auto entries = reader.audit(workspace, after, copied_page);
    more = static_cast<int>(entries.size()) == copied_page;
    for (const auto& entry : entries) {
      after = entry.number;
      const auto taken = verifier.take(base::to_canonical(entry.to_json()));
      if (!taken)
        base::throw_failure(base::Code::corrupt,
                            "the audit chain of workspace " + workspace + " is broken at entry " +
                                std::to_string(entry.number) + ": " + taken.error().message +
                                ". Nothing was moved; see agentrouter fsck",
                            taken.error().reason);
      ++count;
    }
  }
  return count;
}

}  // namespace

base::Result<MigrateReport> migrate_to_postgres(
    const fs::path& data, const postgres::PostgresOptions& to,
    const std::function<void(const postgres::MovedTable&)>& progress) {
  if (auto checked = postgres::check_url(to.url); !checked) return tl::unexpected(checked.error());
  const auto database = fs::absolute(data) / database_name;
  AGENTROUTER_TRY(auto taken, store::FolderLock::take(fs::absolute(data)));
  const auto lock = std::make_shared<store::FolderLock>(std::move(taken));
  if (auto settled = settle_source(database, lock); !settled) return tl::unexpected(settled.error());
  AGENTROUTER_TRY(auto from, store::open_as_guest(database));
  MigrateReport report;
  const auto workspaces = audited_workspaces(from);
  const auto check = [&](store::Reader& reader) {
    for (const auto& workspace : workspaces) report.audit_entries += follow_chain(reader, workspace);
  };
  try {
    postgres::Session session(session_options(to));
    session.connect();
    report.tables = postgres::move_history(from, session, {.progress = progress, .check = check});
    return report;
  } catch (const base::Failure& failure) {
    return tl::unexpected(failure.error());
  }
}

}  // namespace agentrouter::apps
