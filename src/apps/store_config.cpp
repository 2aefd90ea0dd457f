#include "apps/store_config.h"

#include <sstream>
#include <vector>

#include "apps/config_number.h"
#include "base/file.h"
#include "base/utf8.h"
#include "store/postgres/failure.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::fail;
using base::Result;
using store::postgres::PostgresOptions;

struct StoreTime {
  std::string_view key;
  std::chrono::milliseconds PostgresOptions::* member;
  std::int64_t least;
};

constexpr StoreTime store_times[] = {{"store.connect_timeout_ms", &PostgresOptions::connect_timeout, 1000},
                                     {"store.statement_timeout_ms", &PostgresOptions::statement_timeout, 100},
                                     {"store.lock_timeout_ms", &PostgresOptions::lock_timeout, 100},
                                     {"store.idle_timeout_ms", &PostgresOptions::idle_timeout, 100},
                                     {"store.poll_ms", &PostgresOptions::poll, 1}};
constexpr std::int64_t longest_time = 3'600'000;
constexpr std::int64_t most_connections = 1000;

Result<void> set_url(std::string& target, const std::string& key, const std::string& url) {
  if (auto checked = store::postgres::check_url(url); !checked)
    return fail(Code::invalid, key + ": " + checked.error().message, "usage");
  target = url;
  return {};
}

Result<void> set_url_file(std::string& target, const std::string& key, const std::string& path) {
  AGENTROUTER_TRY(const auto text, base::read_file(path, 64 * 1024));
  return set_url(target, key, std::string(base::trim_js(text)));
}

}  // namespace

bool is_store_setting(const std::string& key) {
  return key.starts_with("store.");
}

Result<void> set_store_value(StoreConfig& config, const std::string& key, const std::string& text) {
  auto& postgres = config.postgres;
  if (key == "store.url") return set_url(postgres.url, key, text);
  if (key == "store.url_file") return set_url_file(postgres.url, key, text);
  if (key == "store.listen_url") return set_url(postgres.listen_url, key, text);
  if (key == "store.listen_url_file") return set_url_file(postgres.listen_url, key, text);
  if (key == "store.prepared") {
    if (text != "true" && text != "false")
      return fail(Code::invalid, "store.prepared is \"" + text + "\": want true or false", "usage");
    postgres.prepared = text == "true";
    return {};
  }
  if (key == "store.connections") {
    AGENTROUTER_TRY(const auto count, whole_number(key, text, 1, most_connections));
    postgres.connections = static_cast<int>(count);
    return {};
  }
  for (const auto& time : store_times) {
    if (time.key != key) continue;
    AGENTROUTER_TRY(const auto value, whole_number(key, text, time.least, longest_time));
    postgres.*time.member = std::chrono::milliseconds(value);
    return {};
  }
  return fail(Code::invalid, "unknown key \"" + key + "\": docs/operating.md lists all keys", "usage");
}

Result<void> settle_store(StoreConfig& config, const Environment& environment) {
  auto& postgres = config.postgres;
  if (const auto url = environment.secret("AGENTROUTER_STORE_URL")) {
    if (auto done = set_url(postgres.url, "AGENTROUTER_STORE_URL", *url); !done) return done;
  }
  if (const auto url = environment.secret("AGENTROUTER_STORE_LISTEN_URL")) {
    if (auto done = set_url(postgres.listen_url, "AGENTROUTER_STORE_LISTEN_URL", *url); !done) return done;
  }
  if (!postgres.listen_url.empty() && !config.is_shared())
    return fail(Code::invalid, "store.listen_url is given without store.url", "usage");
  return {};
}

std::string print_store(const StoreConfig& config) {
  std::ostringstream out;
  out << "\n[store]\n";
  if (!config.is_shared()) {
    out << "# url: not set, the history is in the data folder\n";
    return out.str();
  }
  const auto& postgres = config.postgres;
  out << "# url: [REDACTED], " << store::postgres::place_of(postgres.url) << "\n";
  if (!postgres.listen_url.empty())
    out << "# listen_url: [REDACTED], " << store::postgres::place_of(postgres.listen_url) << "\n";
  out << "prepared = " << (postgres.prepared ? "true" : "false") << "\nconnections = " << postgres.connections
      << "\n";
  for (const auto& time : store_times)
    out << time.key.substr(time.key.find('.') + 1) << " = " << (postgres.*time.member).count() << "\n";
  return out.str();
}

base::Error store_is_shared(const std::string& command) {
  return {Code::unsupported,
          "cannot " + command +
              ": the history of this installation is in PostgreSQL ([store] url), not in the data "
              "folder. Use PostgreSQL's own means (pg_dump, pg_restore, amcheck) for it, and those of the "
              "blob store",
          "store_is_shared"};
}

}  // namespace agentrouter::apps
