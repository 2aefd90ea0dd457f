#pragma once
// What a later turn begins with: the state that an earlier turn of its conversation has left.

#include "blobs/blob_store.h"
#include "store/store.h"
#include "worker/attempt_folder.h"

namespace agentrouter::worker {

// The blob of a run's checkpoint.
[[nodiscard]] std::string checkpoint_key(const model::RunId& run);

// The newest state of an earlier turn; none for a first turn, and when no agent of an earlier turn was ever
// started or all of them were lost, so that there is nothing to go on from.
//
// Errors: unavailable (checkpoint_unavailable): an earlier turn ran and its state could not be kept.
[[nodiscard]] base::Result<std::optional<store::Checkpoint>> checkpoint_before(store::Reader& reader,
                                                                               const model::Run& run);

// Its bytes as restore.tar.zst in the attempt's folder, for the keeper to read. Blocks. May be repeated.
//
// Errors: unavailable (checkpoint_unavailable): the bytes are gone or not what was written; those of writing.
[[nodiscard]] base::Result<void> place_checkpoint(blobs::BlobStore& blobs,
                                                  const store::Checkpoint& checkpoint,
                                                  const AttemptFolder& folder);

}  // namespace agentrouter::worker
