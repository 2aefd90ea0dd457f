#pragma once
// How an attempt ended: the `exit` record of its journal, or what takes its place when the keeper left none.

#include "base/json.h"
#include "model/run.h"

namespace agentrouter::worker {

struct ExitRecord {
  model::RunStatus outcome = model::RunStatus::failed;  // completed, failed or cancelled
  model::RunFailure failure;
  std::string response_text;
  std::string response_event_type;
  std::optional<json::object> usage;
  std::optional<json::object> used;  // of the run's limits
  std::string provider;              // sim or upstream
  std::optional<int> exit_code;
  struct Changes {
    std::int64_t index_files = 0;
    bool index_truncated = false;
    bool patch_truncated = false;
    bool index_redacted = false;               // secrets were taken out of it
    bool patch_redacted = false;               // of one of the patches
    std::optional<bool> turn_patch_truncated;  // none: a first turn, which has no patch of its own
  };
  std::optional<Changes> changes;  // none: neither index nor patch was made
  struct Checkpoint {
    std::int64_t bytes = 0;
    std::string sha256;
    std::optional<std::int64_t> layer_bytes = {};  // what the attempt's own layers take; none: not to be kept
  };
  std::optional<Checkpoint> checkpoint;  // what the next turn goes on from
  std::string checkpoint_error;          // why there is none although the agent was started
  bool lost = false;     // made here: the keeper left none, and with it went what the agent had done
  std::string cassette;  // the name of a complete recording
  std::string thread_id;
  std::optional<json::object> sandbox;  // {limits, isolation, gone}
};

// Errors: corrupt.
[[nodiscard]] base::Result<ExitRecord> parse_exit(const json::object& data);

}  // namespace agentrouter::worker
