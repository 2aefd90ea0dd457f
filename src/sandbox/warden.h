#pragma once
// The root half of a root install: a small process that launches, releases and sweeps for a server. It takes
// requests of one fixed size with descriptors beside them, keeps no state but boxes that it has made ahead (warm.h), and
// reads nothing that an agent wrote. It ends when its socket does, and they with it.

#include <functional>
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
  // When the warden has ended, `again` starts another one for the next request. What the old one was doing
  // fails if it was a launch (its sandbox ends with it), else it is done again.
  using Start = std::function<base::Result<StartedWarden>()>;
  WardenLauncher(StartedWarden started, Start again)
      : socket_(std::move(started.socket)), process_(std::move(started.process)), again_(std::move(again)) {}

  [[nodiscard]] base::Result<Launched> launch(const LaunchRequest& request) override;
  [[nodiscard]] base::Result<void> release(const AttemptRef& attempt, Remove what) override;
  [[nodiscard]] base::Result<SweepReport> sweep(int attempts) override;

 private:
  // The socket of a warden that lives, as far as can be known before it is asked.
  base::Result<int> reach();

  std::mutex mutex_;
  base::Fd socket_;
  base::Fd process_;  // pidfd, to reap it
  Start again_;
};

}  // namespace agentrouter::sandbox
