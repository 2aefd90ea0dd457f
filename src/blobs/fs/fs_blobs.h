#pragma once
// Blobs as files under one folder: written to `.tmp/`, fsynced, renamed to their key, the folder fsynced.

#include <filesystem>

#include "blobs/blob_store.h"

namespace agentrouter::blobs {

// Makes the folder if it is missing and removes what an earlier process left in `.tmp/`, so only one process
// may have a folder open. Errors: denied, unavailable.
[[nodiscard]] base::Result<std::unique_ptr<BlobStore>> open_fs_blobs(const std::filesystem::path& folder);

}  // namespace agentrouter::blobs
