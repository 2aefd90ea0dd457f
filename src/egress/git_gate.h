#pragma once
// The only way out of a sandbox that fetches a repository: one repository at one server, for reading. The
// sandbox sees http://127.83.1.1/<path of the repository>; requests for anything else are refused here, so
// that nothing else at that server can be reached with the credential, which is added on the way out.
//
//   GET  <path>/info/refs?service=git-upload-pack
//   POST <path>/git-upload-pack
//
// A redirect of the first one to the same server is followed here; one that leads elsewhere is not.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/asio.h"
#include "egress/git_problem.h"
#include "egress/secret.h"
#include "net/client.h"
#include "net/server.h"
#include "net/url.h"

namespace agentrouter::egress {

struct GitGateConfig {
  net::Url repository;                        // where it is; the sandbox sees its path
  const Secret* credential = nullptr;         // what follows "Basic " in the field; none: nothing is added
  const net::TlsContext* tls = nullptr;       // needed for https
  net::Reach reach = net::Reach::anywhere;    // of a host that nobody has named: public_only
  std::uint64_t response_bytes = 4ull << 30;  // of all answers together
  std::chrono::milliseconds connect_timeout{15'000};
  std::chrono::milliseconds idle_timeout{120'000};
};

// Belongs to one executor, with everything it was given.
class GitGate final : public net::Handler, public GitWay {
 public:
  GitGate(base::Executor executor, GitGateConfig config);

  [[nodiscard]] base::Result<void> serve(base::Fd listener) { return server_.adopt(std::move(listener)); }
  // Cuts what is under way and waits until nothing is left. Once, before the destructor.
  [[nodiscard]] base::Task<void> stop();

  [[nodiscard]] const GitProblem& problem() const override { return problem_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  [[nodiscard]] base::Task<void> handle(net::Exchange& exchange) override;

 private:
  class Passage;
  void note(GitTrouble trouble, std::string message) { problem_ = {trouble, std::move(message)}; }

  GitGateConfig config_;
  std::string path_;  // of the repository as the sandbox asks for it
  net::Url target_;   // where it is now, after redirects
  GitProblem problem_;
  std::uint64_t bytes_ = 0;
  net::Server server_;
};

}  // namespace agentrouter::egress
