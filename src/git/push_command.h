#pragma once
// `agentrouter-git push`: the process that makes a commit of a run's kept files and pushes it. A program of its
// own, so that nothing else maps libgit2 and what comes with it; started by the server, it knows one run and
// one credential, and ends with its answer (workspace/push_order.h).

namespace agentrouter::git {

// The whole command. Returns the exit status: 0, or 1 when it could not answer.
[[nodiscard]] int run_push();

}  // namespace agentrouter::git
