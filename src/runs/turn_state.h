#pragma once
// What a turn of a conversation has left behind: the one rule by which the next turn, and a fork, find what
// they begin with.

#include "store/store.h"

namespace agentrouter::runs {

// The state of a conversation behind its turn `turn_number`, 0 being before its first turn: the newest
// checkpoint up to there. None when there is nothing to go on from, because no agent of these turns was ever
// started or all of them were lost.
//
// Errors: unavailable (checkpoint_unavailable): a turn behind that checkpoint ran and its state could not be
// kept.
[[nodiscard]] base::Result<std::optional<store::Checkpoint>> state_after(store::Reader& reader,
                                                                         const model::RunId& conversation,
                                                                         int turn_number);

// Why the turn of this run left no state although its agent ran; empty when that is not so.
[[nodiscard]] std::string state_error_of(store::Reader& reader, const model::RunId& run);

// The error that says so.
[[nodiscard]] base::Error state_unavailable(const std::string& why);

}  // namespace agentrouter::runs
