#pragma once
// What a server leaves in its data folder for the clients of the same machine and user.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"

namespace agentrouter::cli {

// DATA/server.json.
struct ServerFile {
  std::string url;
  std::int64_t pid = 0;
  std::optional<bool> sim;  // whether it uses the simulated provider, if it says so
  std::string record;       // where it keeps cassettes; empty: nowhere
  std::string replay;       // where it answers from
};

// Errors: not_found (there is none, or the process that wrote it is gone or belongs to somebody else: another
// process may have its port by now), corrupt.
[[nodiscard]] base::Result<ServerFile> read_server_file(const std::filesystem::path& data);

// DATA/api_key, without the line end. Errors: not_found, denied.
[[nodiscard]] base::Result<std::string> read_api_key(const std::filesystem::path& file);

}  // namespace agentrouter::cli
