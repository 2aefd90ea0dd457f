#pragma once
// The store that the configuration names.

#include <memory>

#include "apps/data_folder.h"
#include "apps/store_config.h"
#include "store/sqlite/folder_lock.h"
#include "store/store.h"

namespace agentrouter::apps {

// `lock` is that of the data folder, which belongs to one server wherever its history is.
//
// Errors: those of open_sqlite_store() or open_postgres_store().
[[nodiscard]] base::Result<std::unique_ptr<store::Store>> open_store(const StoreConfig& config,
                                                                     const DataFolder& data,
                                                                     std::shared_ptr<store::FolderLock> lock);

}  // namespace agentrouter::apps
