#pragma once
// What a run leaves behind, gathered from its attempt's folder into blobs and into the events of its end.
// Gathering again after a crash gives the same artifacts under the same keys.

#include "blobs/blob_store.h"
#include "runs/close.h"
#include "worker/attempt_folder.h"
#include "worker/exit_record.h"
#include "worker/log_archive.h"

namespace agentrouter::worker {

struct EndingSource {
  const AttemptFolder& folder;
  LogArchive& stdout_log;
  LogArchive& stderr_log;
  blobs::BlobStore& blobs;
  const model::Run& run;  // as it is when the end begins
  const store::Attempt& attempt;
  const ExitRecord& exit;
  base::Time now;
};

// The four artifacts and the tail of events, provider.stdout to sandbox.destroyed. Blocks. Throws Failure as
// blobs do.
[[nodiscard]] runs::Ending gather_ending(const EndingSource& source);

// Executions that were started and never closed, because their keeper was lost or killed: execution.failed
// {reason} of each, that of the launch last and after agent.error, to go before the rest of the tail.
[[nodiscard]] std::vector<model::EventDraft> close_open_executions(store::Reader& reader,
                                                                   const model::RunId& run,
                                                                   std::string_view reason,
                                                                   runs::Context context);

}  // namespace agentrouter::worker
