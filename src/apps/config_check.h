#pragma once
// A configuration that replaces one that runs: what can be found out about it before, and what it changes.

#include <filesystem>

#include "apps/config.h"

namespace agentrouter::apps {

// What load_config() does not look at, and a start would fail with: policies, secrets that they name, certificates.
// Images that are new are unpacked here, so that nobody waits for it later. Blocks. Errors: invalid, not_found,
// denied, and those of unpacking.
[[nodiscard]] base::Result<void> check_config(const Config& config, const std::filesystem::path& data);

// The keys whose values differ, "a, b.c"; of secrets only those that the configuration itself holds.
[[nodiscard]] std::string changed_keys(const Config& before, const Config& after);

}  // namespace agentrouter::apps
