#pragma once
// What the agent of a run has said so far, as lines: of an active run the file that its keeper writes, of an
// ended one the artifact, unpacked.

#include <filesystem>

#include "base/pool.h"
#include "blobs/blob_store.h"
#include "store/store.h"
#include "workspace/file_answer.h"

namespace agentrouter::worker {

// Where a log is. Neither: the agent has said nothing yet, or was never started.
struct LogPlace {
  std::optional<store::Attempt> attempt;    // of an active run
  std::optional<model::Artifact> artifact;  // of an ended one
};
// `stream`: stdout or stderr. Errors: not_found (run_not_found).
[[nodiscard]] base::Result<LogPlace> find_log(store::Reader& reader, const model::RunId& run,
                                              std::string_view stream);

struct LogSource {
  blobs::BlobStore& blobs;
  base::Pool& pool;
  std::filesystem::path attempts;  // DATA/attempts
};
// From `request.offset` on; nothing where the log ends before. Of an active run: as far as it goes now.
// What is passed by reference outlives the answer. Errors: not_found (artifact_not_found: its bytes are
// gone), those of blobs::check_blob(), unavailable. Of the answer: unavailable.
[[nodiscard]] base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> open_log(
    LogSource source, LogPlace place, workspace::FileRequest request);

}  // namespace agentrouter::worker
