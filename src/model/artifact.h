#pragma once
// Records of what a run leaves behind. The bytes are in `blobs` under the r2Key. Ids and keys depend only on
// run and kind, so that collecting again after a crash writes over itself.

#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "model/event.h"
#include "model/ids.h"

namespace agentrouter::model {

struct Artifact {
  ArtifactId id;
  RunId run_id;
  std::string kind;
  std::string r2_key;
  std::string content_type;
  std::int64_t size_bytes = 0;  // of the stored bytes
  std::string sha256;           // of the stored bytes, 64 lower-case hex digits
  std::string metadata = "{}";  // a JSON object
  base::Time created_at;

  [[nodiscard]] ArtifactRef ref() const { return {id, r2_key}; }
  // The Artifact of the wire.
  [[nodiscard]] std::string to_wire() const;
};

// stdout_log, stderr_log, workspace_file_index, workspace_patch, session_events, session_manifest: id, key and
// content type as the contract (section 10) has them. workspace_turn_patch: what a later turn alone changed. `suffix` tells several artifacts of one kind apart
// (payload_overflow).
[[nodiscard]] Artifact named_artifact(const RunId& run, std::string_view kind, std::string_view suffix = {});

}  // namespace agentrouter::model
