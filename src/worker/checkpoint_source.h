#pragma once
// What a turn begins with: the state that an earlier turn of its conversation has left, or the turn that its
// conversation was forked from.

#include "blobs/blob_store.h"
#include "store/store.h"
#include "worker/attempt_folder.h"

namespace agentrouter::worker {

// The blob of a run's checkpoint.
[[nodiscard]] std::string checkpoint_key(const model::RunId& run);

// runs::state_after the turn before `run`; none for a first turn that is no fork.
[[nodiscard]] base::Result<std::optional<store::Checkpoint>> checkpoint_before(store::Reader& reader,
                                                                               const model::Run& run);

// Its bytes as restore.tar.zst in the attempt's folder, for the keeper to read. Blocks. May be repeated.
//
// Errors: unavailable (checkpoint_unavailable): the bytes are gone or not what was written; those of writing.
// unavailable (storage_failed): the store of blobs is away.
[[nodiscard]] base::Result<void> place_checkpoint(blobs::BlobStore& blobs,
                                                  const store::Checkpoint& checkpoint,
                                                  const AttemptFolder& folder);

}  // namespace agentrouter::worker
