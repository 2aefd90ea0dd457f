#include "store/postgres/postgres_store.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "store/postgres/failure.h"
#include "store/postgres/months.h"
#include "store/postgres/reader_pool.h"
#include "store/postgres/schema.h"
#include "store/postgres/writer.h"

namespace agentrouter::store::postgres {

namespace {

constexpr std::int64_t least_version = 140000;

SessionOptions session_options(const PostgresOptions& options, const std::string& application) {
  return {.url = options.url,
          .application = application,
          .prepared = options.prepared,
          .connect_timeout = options.connect_timeout,
          .statement_timeout = options.statement_timeout,
          .lock_timeout = options.lock_timeout,
          .idle_timeout = options.idle_timeout};
}

FeedOptions feed_options(const PostgresOptions& options, const std::string& node) {
  FeedOptions feed{.session = session_options(options, "agentrouter feed " + node)};
  feed.listens = options.prepared || !options.listen_url.empty();
  feed.poll = options.poll;
  if (options.listen_url.empty()) return feed;
  feed.session.url = options.listen_url;
  feed.session.prepared = true;
  return feed;
}

void check_server(Session& session) {
  const auto rows = session.query_text(
      "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding')");
  const auto row = rows.front();
  if (row.integer(0) >= least_version && row.view(1) == "UTF8") return;
  base::throw_failure(
      base::Code::unsupported,
      "cannot use the database: want PostgreSQL 14 or newer and a database with the encoding UTF8, have " +
          row.text(0) + " and " + row.text(1),
      "database_unsuitable");
}

class PostgresStore final : public Store {
 public:
  PostgresStore(const PostgresOptions& options, const std::string& node, const LogHead& head)
      : feed_(feed_options(options, node), listeners_, head.position, head.at_position),
        readers_(session_options(options, "agentrouter reader " + node), options.connections),
        writer_({.session = session_options(options, "agentrouter writer " + node),
                 .node = node,
                 .keep_commits = options.keep_commits},
                feed_, figures_.batches) {}
  ~PostgresStore() override { PostgresStore::close(); }

  [[nodiscard]] Waiting waiting() const override { return {writer_.waiting(), readers_.waiting()}; }
  void add_listener(CommitListener* listener) override { listeners_.add(listener); }
  void remove_listener(CommitListener* listener) override { listeners_.remove(listener); }
  void close() override {
    writer_.close();
    readers_.close();
    feed_.close();
  }

 protected:
  void submit_write(WriteWork work, Done done) override { writer_.submit(std::move(work), std::move(done)); }
  void submit_read(ReadWork work, Done done) override { readers_.submit(std::move(work), std::move(done)); }

 private:
  Listeners listeners_;
  Feed feed_;
  ReaderPool readers_;
  Writer writer_;
};

LogHead prepare(const PostgresOptions& options, const std::string& node) {
  auto unlimited = session_options(options, "agentrouter schema " + node);
  unlimited.statement_timeout = {};  // a step of the schema may take long
  unlimited.lock_timeout = {};
  unlimited.idle_timeout = {};
  Session session(unlimited);
  session.connect();
  check_server(session);
  migrate(session);
  (void)drop_empty_months(session, base::system_clock().now());
  const auto position = head_of(session, 0).position;
  return head_of(session, position);
}

}  // namespace

base::Result<std::unique_ptr<Store>> open_postgres_store(PostgresOptions options) {
  for (const auto& url : {options.url, options.listen_url.empty() ? options.url : options.listen_url}) {
    if (auto checked = check_url(url); !checked) return tl::unexpected(checked.error());
  }
  const auto node = base::new_uuid(base::system_entropy());
  try {
    const auto head = prepare(options, node);
    base::log(base::LogLevel::info, "sharing a store", {{"database", place_of(options.url)}, {"node", node}});
    return std::make_unique<PostgresStore>(options, node, head);
  } catch (const base::Failure& failure) {
    return tl::unexpected(failure.error());
  }
}

}  // namespace agentrouter::store::postgres
