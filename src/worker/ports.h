#pragma once
// What the worker needs of the agents and does not know itself: which program a run starts, with what
// environment and files, and where it is installed. Starting sandboxes is sandbox::Launcher; how keepers are
// reached and killed is here, too, so that a simulation can be in their place.

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agents/session.h"
#include "base/error.h"
#include "keeper/plan.h"
#include "keeper/protocol.h"
#include "model/run.h"
#include "sandbox/plan.h"
#include "workspace/unpack.h"

namespace agentrouter::worker {

struct PreparedAgent {
  agents::AgentProgram program;      // holds only dummy credentials
  std::vector<sandbox::Bind> binds;  // where the program stands inside
  std::vector<keeper::McpPlan> mcp;  // with real credentials: for the keeper
};

struct AgentRequest {
  model::Runtime runtime;
  std::string model;             // to ask for
  bool simulated = false;        // shortens retries
  std::vector<std::string> mcp;  // names of the MCP servers that it is given
  bool gates_calls = false;      // each call is judged: no tool that never asks, as far as that can be
};

class AgentPreparer {
 public:
  virtual ~AgentPreparer() = default;
  // May block: the worker calls it on its pool.
  //
  // Errors: not_found (reason agent_missing; mcp_server_unknown: no such server for this runtime, any more),
  // unsupported (reason agent_version_mismatch, or session_runtime_unsupported for a runtime that this build
  // does not drive).
  [[nodiscard]] virtual base::Result<PreparedAgent> prepare(const AgentRequest& request) = 0;
};

// Unpacks what a tree is made of, in a process of its own. Safe from any thread.
class TreeUnpacker {
 public:
  virtual ~TreeUnpacker() = default;
  // Blocks. `archive` and `folder` are borrowed. Errors: those of workspace::unpack; cancelled.
  [[nodiscard]] virtual base::Result<workspace::UnpackReport> unpack(int archive, int folder,
                                                                     const workspace::UnpackLimits& limits,
                                                                     const std::string& label) = 0;
  // Ends what is being unpacked under this label.
  virtual void cancel(const std::string& label) = 0;
};

// Ends a keeper that does not obey. SIGKILL through a pidfd; a process that has ended is no error.
using KillKeeper = std::function<void(pid_t)>;
void kill_process(pid_t pid);
// By a signal or a debugger: it will do nothing until somebody lets it go on.
[[nodiscard]] bool is_stopped(pid_t pid);

// A connection to the keeper of the attempt with this folder. Errors: unavailable (nobody listens).
using ConnectKeeper =
    std::function<base::Result<std::unique_ptr<keeper::Lines>>(base::Executor executor, int attempt_dir)>;
[[nodiscard]] base::Result<std::unique_ptr<keeper::Lines>> connect_by_socket(base::Executor executor,
                                                                             int attempt_dir);

}  // namespace agentrouter::worker
