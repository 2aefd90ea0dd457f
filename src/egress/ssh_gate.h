#pragma once
// The only way out of a sandbox that fetches a repository over ssh. What connects to its listener is git, by
// way of ssh_program; whatever it wants, outside there is one command, `git-upload-pack` of the one
// repository, on one server, whose host key must be a known one before the private key is used. Neither
// enters the sandbox.

#include <chrono>
#include <cstdint>
#include <string>

#include "base/asio.h"
#include "base/fd.h"
#include "base/task_scope.h"
#include "egress/git_problem.h"
#include "egress/secret.h"

namespace agentrouter::egress {

struct SshGateConfig {
  std::string host;
  std::uint16_t port = 22;
  std::string user;
  std::string path;             // of the repository, as the server's shell is given it in quotes
  const Secret* key = nullptr;  // base64 of the private key's file (OpenSSH's format, without passphrase)
  std::string known_hosts;      // lines as in OpenSSH's file
  std::uint64_t response_bytes = 4ull << 30;  // of all answers together
  std::chrono::milliseconds connect_timeout{15'000};
  std::chrono::milliseconds idle_timeout{120'000};
};

// The kinds of host keys that these lines hold, as libssh2 lists methods ("ssh-ed25519,..."): a server is
// only asked for one that can be compared. Pure.
[[nodiscard]] std::string known_key_kinds(std::string_view known_hosts);

// Belongs to one executor, with everything it was given.
class SshGate final : public GitWay {
 public:
  SshGate(base::Executor executor, SshGateConfig config);
  ~SshGate() override;

  // Accepts from `listener` (TCP, listening) from now on.
  void serve(base::Fd listener);
  // Cuts what is under way and waits until nothing is left. Once, before the destructor.
  [[nodiscard]] base::Task<void> stop();

  [[nodiscard]] const GitProblem& problem() const override { return problem_; }

 private:
  class Link;
  base::Task<void> accept_all(base::Fd listener);

  base::Executor executor_;
  SshGateConfig config_;
  GitProblem problem_;
  std::uint64_t bytes_ = 0;
  base::TaskScope links_;
};

}  // namespace agentrouter::egress
