#pragma once
// The program `agentrouter keeper`: one attempt, one process, one thread. It holds the sandbox, the agent's
// stdio, the journal and the egress, and outlives the server that asked for it.

#include "keeper/attempt.h"

namespace agentrouter::keeper {

struct KeeperNeeds {
  base::Executor executor;
  Sandbox& sandbox;
  int attempt_dir = -1;
  const AttemptPlan& plan;
  std::span<const egress::Secret> mcp_secrets = {};
  const egress::Secret* key = nullptr;
  const net::TlsContext* tls = nullptr;
  const EgressSecrets* egress = nullptr;            // ReceivedPlan's
  const net::TlsContext* outbound_tls = nullptr;    // for other hosts whose requests are looked into
  const base::Clock& clock;
  base::Entropy& entropy;
  SessionFactory make_session;
  // Called when the socket serves: the launcher may connect.
  std::function<void()> on_ready;
  // How long `exit` stands before the keeper ends without a `done`.
  std::chrono::milliseconds linger = std::chrono::minutes(10);
};

// Journal, socket and attempt, until the server has said `done`.
// Errors: those of making the journal and the socket (conflict: the attempt has a journal already).
base::Task<base::Result<void>> keep(KeeperNeeds needs);

// The whole program: descriptors as sandbox::Box::adopt finds them, then keep(). Returns the exit status.
// When it ends without `exit` in the journal, the attempt is lost and the free lock says so.
[[nodiscard]] int run_keeper();

}  // namespace agentrouter::keeper
