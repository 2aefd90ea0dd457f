#pragma once
// The ids of the product's nouns. Each is its wire text: a prefix and a UUID.

#include "base/id.h"

namespace agentrouter::model {

using RunId = base::Id<struct RunTag>;            // run_<uuid>
using AttemptId = base::Id<struct AttemptTag>;    // attempt_<uuid>
using ActionId = base::Id<struct ActionTag>;      // action_<uuid>
using ArtifactId = base::Id<struct ArtifactTag>;  // artifact_<uuid>
using SessionId = base::Id<struct SessionTag>;    // sess_<uuid>

// Whose something is, on a server that several teams share: 1 to 64 of a-z, 0-9, - and _. What no key says
// otherwise about is in this one.
inline constexpr std::string_view default_workspace = "default";

// 1, 2, 3... without gaps within a run; 0 means "nothing yet".
using Seq = std::int64_t;

}  // namespace agentrouter::model
