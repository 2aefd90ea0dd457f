#pragma once
// The client commands of `agentrouter`, written only on the C++ SDK: whatever they can do, any program can.

#include <span>
#include <string>
#include <string_view>

namespace agentrouter::cli {

// Exit codes of every client command. A request that the server refuses as wrong is `usage` too.
namespace exit_code {
constexpr int completed = 0;
constexpr int failed = 1;
constexpr int usage = 2;
constexpr int cancelled = 3;
constexpr int denied = 4;
}  // namespace exit_code

[[nodiscard]] bool is_client_command(std::string_view name);

// Runs `agentrouter <command> ...` and returns the exit code; also answers --help, --version, no command at
// all and one that there is not. Reads the environment, takes over SIGINT and SIGTERM while it runs, and ends
// with its output flushed. Call it before other threads are started.
[[nodiscard]] int run_client_command(int argc, char** argv);

// The help of `agentrouter` itself: every command, also those of the server.
[[nodiscard]] std::string root_help();

struct ServerCommand {
  std::string_view name;
  std::string_view summary;
};
// The commands that `apps` provides, for the help and for completion.
[[nodiscard]] std::span<const ServerCommand> server_commands();

}  // namespace agentrouter::cli
