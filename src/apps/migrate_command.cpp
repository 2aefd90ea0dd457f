#include <unistd.h>

#include <iostream>

#include "apps/commands.h"
#include "apps/config.h"
#include "apps/migrate.h"
#include "base/json.h"
#include "store/postgres/failure.h"

namespace agentrouter::apps {

namespace {

constexpr std::string_view migrate_help =
    "Usage: agentrouter migrate --from sqlite --to postgres [--data DIR] [--config FILE] [--to-url-file "
    "FILE] [--json]\n\n"
    "Moves what the data folder's database remembers (runs, events, records, the audit chain, webhooks) into "
    "an empty\n"
    "PostgreSQL database: that of [store] url or AGENTROUTER_STORE_URL, or the URL in FILE. Stop the server "
    "first. Either\n"
    "everything arrives or nothing; it is counted and the audit chain is followed before that is decided. "
    "The folder's\n"
    "database stays as it is. Artifacts, checkpoints and base trees stay in the folder; agentrouter "
    "upload-blobs puts\n"
    "blobs into S3. Then start the server with [store] url.\n"
    "Exit code 1: nothing was moved.\n\n"
    "Example: AGENTROUTER_STORE_URL_FILE=/etc/agentrouter/store_url agentrouter migrate --from sqlite --to "
    "postgres\n";

const FlagSpec& migrate_flags() {
  static const FlagSpec spec{.values = {"from", "to", "data", "config", "to-url-file"},
                             .switches = {"json", "help"}};
  return spec;
}

base::Result<void> check_asked(const Flags& flags) {
  if (!flags.rest.empty())
    return base::fail(base::Code::invalid, "unexpected argument " + flags.rest.front());
  if (flags.value("from") != "sqlite" || flags.value("to") != "postgres")
    return base::fail(
        base::Code::invalid,
        "want --from sqlite --to postgres: no other way is known. Back leads only a backup from before");
  return {};
}

// What the server would run with, and where the history goes.
base::Result<Config> configured(const Flags& flags, const Environment& environment) {
  Flags of_server;
  for (const auto* name : {"data", "config"}) {
    if (const auto value = flags.value(name)) of_server.values[name] = {*value};
  }
  AGENTROUTER_TRY(auto config, load_config(of_server, environment, ::geteuid() == 0));
  if (const auto file = flags.value("to-url-file")) {
    if (auto set = set_store_value(config.store, "store.url_file", *file); !set)
      return tl::unexpected(set.error());
  }
  if (config.store.is_shared()) return config;
  return base::fail(base::Code::invalid,
                    "it is not known where to: give [store] url (or url_file) in agentrouter.toml, "
                    "AGENTROUTER_STORE_URL, or --to-url-file");
}

void print(const MigrateReport& report, const Config& config, bool as_json) {
  if (as_json) {
    json::object tables;
    for (const auto& table : report.tables) tables[table.name] = table.rows;
    std::cout << base::to_text(
                     json::object{{"tables", std::move(tables)}, {"auditEntries", report.audit_entries}})
              << "\n";
    return;
  }
  for (const auto& table : report.tables) {
    if (table.rows > 0) std::cout << "  " << table.name << ": " << table.rows << "\n";
  }
  std::cout << "The history of " << config.data << " is in "
            << store::postgres::place_of(config.store.postgres.url) << ". The audit chain was followed over "
            << report.audit_entries
            << " entries. Start the server with [store] url; keep the folder: artifacts, checkpoints and "
               "base trees are\n"
               "there, and agentrouter.db, which nothing writes to any more.\n";
}

}  // namespace

int migrate_command(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto flags = parse_flags(arguments, migrate_flags());
  if (flags && flags->has("help")) {
    std::cout << migrate_help;
    return 0;
  }
  const auto fail = [](const base::Error& error, int code) {
    std::cerr << "agentrouter: " << error.message << "\n";
    return code;
  };
  if (!flags) return fail(flags.error(), 2);
  if (const auto asked = check_asked(*flags); !asked) return fail(asked.error(), 2);
  const auto config = configured(*flags, environment);
  if (!config) return fail(config.error(), 2);
  const auto report =
      migrate_to_postgres(config->data, config->store.postgres, [](const store::postgres::MovedTable& table) {
        std::cerr << "agentrouter: " << table.rows << " rows of " << table.name << "\n";
      });
  if (!report) return fail(report.error(), 1);
  print(*report, *config, flags->has("json"));
  return 0;
}

}  // namespace agentrouter::apps
