#pragma once
// Whether runs can have an image on this machine, found by trying.

#include <string>

#include "sandbox/doctor.h"

namespace agentrouter::sandbox {

// Starts a sandbox in an empty image, with the real crun and the real init, in an attempt's folder of its own below
// `scratch`, and ends it. Never required: without it, runs that ask for an image fail. Leaves nothing.
[[nodiscard]] Probe probe_images(const std::string& scratch);

}  // namespace agentrouter::sandbox
