#pragma once
// The root half of a root install: a small process that launches, releases and sweeps for a server. It takes
// requests of one fixed size with descriptors beside them, keeps no state, and reads nothing that an agent
// wrote. It ends when its socket does.

#include <mutex>
#include <string>
#include <vector>

#include "sandbox/launch.h"

namespace agentrouter::sandbox {

// The descriptor on which the warden finds its socket.
inline constexpr int warden_fd = 3;

// The main of the warden: serves `socket` (SEQPACKET, borrowed) until its other end is closed. Blocks.
// Ignores SIGCHLD in this process, so that ended keepers and inits are reaped by the kernel.
[[nodiscard]] base::Result<void> run_warden(int socket);

// Starts this same program as `argv` with warden_fd as its socket.
struct StartedWarden {
  base::Fd socket;
  base::Fd process;  // pidfd
};
[[nodiscard]] base::Result<StartedWarden> start_warden(const std::vector<std::string>& argv);

// Safe from any thread; one request at a time. Errors beside those of Launcher: unavailable (the warden has
// ended or does not answer).
class WardenLauncher final : public Launcher {
 public:
  explicit WardenLauncher(base::Fd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] base::Result<Launched> launch(const LaunchRequest& request) override;
  [[nodiscard]] base::Result<void> release(const AttemptRef& attempt, Remove what) override;
  [[nodiscard]] base::Result<SweepReport> sweep(int attempts) override;

 private:
  std::mutex mutex_;
  base::Fd socket_;
};

}  // namespace agentrouter::sandbox
