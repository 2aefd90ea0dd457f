#pragma once
// Starts `agentrouter serve` for this user on this machine, in the background, and waits until it is ready:
// its one line on stdout says so. It ends by itself when it has been idle for ten minutes.

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::cli {

enum class Provider { configured, simulated };

// Where runs are recorded, or answered from; at most one of both. Absolute; empty: neither.
struct Cassettes {
  std::string record;
  std::string replay;
};

struct LocalServer {
  std::string program = "/proc/self/exe";
  std::filesystem::path data;  // absolute
  Provider provider = Provider::configured;
  Cassettes cassettes = {};
  std::vector<std::string> environment;  // NAME=value
  std::chrono::milliseconds patience{30'000};
  std::stop_token stop = {};  // ends the wait; the server goes on, and ends by itself
};

// The server's URL. Its log goes to DATA/server.log. It does not end with the caller, nor with its terminal.
// Two callers at once wait for each other by start_lock().
//
// Errors: unavailable (it ended; the message has its last words), timeout, cancelled, or those of making
// DATA.
[[nodiscard]] base::Result<std::string> start_local_server(const LocalServer& server);

// Held while one looks for a server and starts one; released when it is destroyed.
[[nodiscard]] base::Result<base::Fd> start_lock(const std::filesystem::path& data);

}  // namespace agentrouter::cli
