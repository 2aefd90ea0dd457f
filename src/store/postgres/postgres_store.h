#pragma once
// The store in a PostgreSQL database that any number of nodes share. Nodes write in turns (writer.h), read
// beside each other (reader_pool.h) and hear of each other's commits (feed.h). A connection that is lost is
// made anew; until then what is asked fails with unavailable (storage_failed).

#include <chrono>
#include <memory>
#include <string>

#include "store/store.h"

namespace agentrouter::store::postgres {

struct PostgresOptions {
  std::string url;         // libpq's: postgres://USER:PASSWORD@HOST/DATABASE?sslmode=...
  std::string listen_url;  // of the connection that is notified; empty: `url`, where `prepared` holds
  bool prepared = true;    // false where `url` leads through a pooler that works in transaction mode
  int connections = 8;     // that read, besides one that writes and one that hears
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds statement_timeout{30000};
  std::chrono::milliseconds lock_timeout{20000};
  std::chrono::milliseconds idle_timeout{10000};  // who has the writer's turn and says nothing has lost it
  std::chrono::milliseconds poll{20};             // looks for other nodes' commits, where nobody is notified
  std::chrono::seconds keep_commits{900};         // what a node may miss and still hear of in full
};

// Connects, brings the schema up to date and begins to follow the others.
//
// Errors: invalid (store_url_invalid), unsupported (schema_newer: of a newer version; database_unsuitable:
// not UTF-8, or a server before 14), unavailable (storage_failed), denied (storage_failed), corrupt. None
// shows the password.
[[nodiscard]] base::Result<std::unique_ptr<Store>> open_postgres_store(PostgresOptions options);

}  // namespace agentrouter::store::postgres
