#pragma once
// What the worker needs from the outside and does not implement: starting sandboxes and finding installed
// agents. Both may block; the worker calls them on its pool.

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/run.h"
#include "store/records.h"

namespace agentrouter::worker {

struct LaunchRequest {
  store::Attempt attempt;
  std::filesystem::path folder;       // DATA/attempts/<attemptId>, made by the worker, mode 0700
  std::filesystem::path lower;        // the workspace's lower layer; empty for a scratch tree
  std::filesystem::path agent_dir;    // the agent's program, mounted read-only
  bool read_only_workspace = false;
  std::string plan;                   // what the keeper reads from its plan pipe (keeper/plan.h); holds the key
};

// Starts an attempt's sandbox and keeper, and removes what they leave. Every call may be repeated.
class Launcher {
 public:
  virtual ~Launcher() = default;

  // Starts the sandbox and the keeper; the keeper outlives this process. Its socket appears when it is ready.
  //
  // Errors: unsupported (this machine lacks a required control; the message says which), unavailable,
  // exhausted, invalid. Nothing is left running after an error.
  [[nodiscard]] virtual base::Result<void> launch(const LaunchRequest& request) = 0;

  // Kills whatever is left of the attempt and removes its cgroups, mounts and the trees that other users own
  // in its folder. True when it is proven that nothing is left; errors may be retried.
  [[nodiscard]] virtual base::Result<void> release(const store::Attempt& attempt, const std::filesystem::path& folder) = 0;

  // Removes everything of ours on this machine that belongs to none of `open`.
  [[nodiscard]] virtual base::Result<void> sweep(const std::vector<store::Attempt>& open) = 0;
};

struct InstalledAgent {
  std::filesystem::path directory;
  std::string version;
};

class AgentFinder {
 public:
  virtual ~AgentFinder() = default;
  // Errors: not_found (reason agent_missing), unsupported (reason agent_version_mismatch).
  [[nodiscard]] virtual base::Result<InstalledAgent> find(model::RuntimeKind kind) = 0;
};

}  // namespace agentrouter::worker
