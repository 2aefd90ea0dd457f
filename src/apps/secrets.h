#pragma once
// What the server knows and nobody may read in its logs, or in what its runs leave.

#include "apps/config.h"
#include "base/needles.h"

namespace agentrouter::apps {

// The server's own API key (of at least 16 bytes: a short one would be found in every other word), the keys
// of all providers, the fields of MCP servers, [secrets], the tokens for repositories (to fetch and to push),
// the store's URLs and their passwords, the keys of the blob store.
[[nodiscard]] base::Needles needles_of_secrets(const Config& config, std::string_view api_key);
// The secret parts of a blob store's keys.
[[nodiscard]] base::Needles needles_of_blob_keys(const blobs::Credentials& keys);

}  // namespace agentrouter::apps
