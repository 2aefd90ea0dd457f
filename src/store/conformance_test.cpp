// Every backend against the same suites, line by line.
//
// The tests are in a header: g++ warns that the closures in their coroutines' frames have no linkage.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

#include "store/conversation_conformance.h"
#include "store/keeping_conformance.h"
#include "store/list_conformance.h"
#include "store/outbox_conformance.h"
#include "store/postgres/postgres_store.h"
#include "store/queue_conformance.h"
#include "store/sealed_conformance.h"
#include "store/spending_conformance.h"
#include "store/sqlite/sqlite_store.h"
#include "store/store_conformance.h"
#include "store/tenancy_conformance.h"
#include "testing/postgres_server.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

class SqliteBackend final : public StoreBackend {
 public:
  std::unique_ptr<Store> open() override { return base::value_or_throw(open_sqlite_store(folder_ / "a.db")); }

 private:
  testing::TempDir folder_;
};

class PostgresBackend : public StoreBackend {
 public:
  explicit PostgresBackend(bool prepared) : prepared_(prepared) {}
  std::unique_ptr<Store> open() override {
    return base::value_or_throw(postgres::open_postgres_store({.url = server_.url(database_),
                                                               .listen_url = server_.url(database_),
                                                               .prepared = prepared_,
                                                               .connections = 2}));
  }

 private:
  const bool prepared_;
  testing::PostgresServer& server_ = testing::PostgresServer::shared();
  std::string database_ = server_.make_database();
};

template <class Backend, class... Arguments>
BackendFactory make(Arguments... arguments) {
  return [=] { return std::unique_ptr<StoreBackend>(std::make_unique<Backend>(arguments...)); };
}

const auto sqlite = ::testing::Values(make<SqliteBackend>());
INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, ListConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, ConversationConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, OutboxConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, SpendingConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, KeepingConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, QueueConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, SealedConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, TenancyConformance, sqlite);

const auto postgres_server = ::testing::Values(make<PostgresBackend>(true));
INSTANTIATE_TEST_SUITE_P(Postgres, StoreConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, ListConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, ConversationConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, OutboxConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, SpendingConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, KeepingConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, QueueConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, SealedConformance, postgres_server);
INSTANTIATE_TEST_SUITE_P(Postgres, TenancyConformance, postgres_server);

// As behind a pooler that gives each transaction another connection.
const auto pooled = ::testing::Values(make<PostgresBackend>(false));
INSTANTIATE_TEST_SUITE_P(PostgresUnprepared, StoreConformance, pooled);
INSTANTIATE_TEST_SUITE_P(PostgresUnprepared, ConversationConformance, pooled);
INSTANTIATE_TEST_SUITE_P(PostgresUnprepared, QueueConformance, pooled);

}  // namespace

}  // namespace agentrouter::store
