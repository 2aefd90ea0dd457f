#pragma once
// What is read of a run beyond its single rows.

#include "store/store.h"

namespace agentrouter::runs {

struct RunSession {
  model::Run run;
  std::string response = "null";  // AgentResponse as JSON text
  std::vector<model::Artifact> artifacts;

  // The RunSession of the wire.
  [[nodiscard]] std::string to_wire() const;
};

// Errors: not_found (run_not_found).
[[nodiscard]] base::Result<RunSession> run_session(store::Reader& reader, const model::RunId& id);

// Errors: not_found (run_not_found).
[[nodiscard]] base::Result<model::Run> find_run(store::Reader& reader, const model::RunId& id);

// Errors: not_found (artifact_not_found), also when it belongs to another run or the run is unknown.
[[nodiscard]] base::Result<model::Artifact> find_artifact(store::Reader& reader, const model::RunId& run,
                                                          const model::ArtifactId& artifact);

}  // namespace agentrouter::runs
