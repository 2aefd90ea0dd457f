// The tests are in a header: g++ warns that the closures in their coroutines' frames have no linkage.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

#include "store/conversation_conformance.h"
#include "store/keeping_conformance.h"
#include "store/list_conformance.h"
#include "store/spending_conformance.h"
#include "store/sqlite/sqlite_store.h"
#include "store/outbox_conformance.h"
#include "store/store_conformance.h"
#include "testing/temp_dir.h"

namespace agentrouter::store {

namespace {

class SqliteBackend final : public StoreBackend {
 public:
  std::unique_ptr<Store> open() override { return base::value_or_throw(open_sqlite_store(folder_ / "a.db")); }

 private:
  testing::TempDir folder_;
};

const auto sqlite = ::testing::Values(
    BackendFactory([] { return std::unique_ptr<StoreBackend>(std::make_unique<SqliteBackend>()); }));
INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, ListConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, ConversationConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, OutboxConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, SpendingConformance, sqlite);
INSTANTIATE_TEST_SUITE_P(Sqlite, KeepingConformance, sqlite);

}  // namespace

}  // namespace agentrouter::store
