#pragma once
// [store]: where the history is. Without a URL it is in the data folder, in SQLite.

#include <string>

#include "apps/environment.h"
#include "base/error.h"
#include "store/postgres/postgres_store.h"

namespace agentrouter::apps {

struct StoreConfig {
  store::postgres::PostgresOptions postgres;  // with its `url` empty: SQLite

  // Other nodes work on it, too.
  [[nodiscard]] bool is_shared() const { return !postgres.url.empty(); }
};

[[nodiscard]] bool is_store_setting(const std::string& key);

// Errors: invalid, naming the key and what is wanted; never the URL.
[[nodiscard]] base::Result<void> set_store_value(StoreConfig& config, const std::string& key,
                                                 const std::string& text);

// AGENTROUTER_STORE_URL and AGENTROUTER_STORE_LISTEN_URL, each also with _FILE. Errors: invalid.
[[nodiscard]] base::Result<void> settle_store(StoreConfig& config, const Environment& environment);

// Without the URLs, which hold passwords.
[[nodiscard]] std::string print_store(const StoreConfig& config);

// What backup, restore and fsck say where the history is not in the data folder.
[[nodiscard]] base::Error store_is_shared(const std::string& command);

}  // namespace agentrouter::apps
