#include "apps/open_store.h"

#include "store/sqlite/sqlite_store.h"

namespace agentrouter::apps {

base::Result<std::unique_ptr<store::Store>> open_store(const StoreConfig& config, const DataFolder& data,
                                                       std::shared_ptr<store::FolderLock> lock) {
  if (config.is_shared()) return store::postgres::open_postgres_store(config.postgres);
  return store::open_sqlite_store(data.database(), {.lock = std::move(lock)});
}

}  // namespace agentrouter::apps
