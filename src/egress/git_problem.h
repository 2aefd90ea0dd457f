#pragma once
// What went wrong outside of a sandbox that fetches a repository; git inside knows only that something did.

#include <string>

namespace agentrouter::egress {

enum class GitTrouble {
  none,
  unreachable,
  unauthorized,
  untrusted,
  not_found,
  redirected,
  too_large,
  refused
};
struct GitProblem {
  GitTrouble trouble = GitTrouble::none;
  std::string message;  // for people
};

// A way out of that sandbox.
class GitWay {
 public:
  virtual ~GitWay() = default;
  // How the last request failed.
  [[nodiscard]] virtual const GitProblem& problem() const = 0;
};

}  // namespace agentrouter::egress
