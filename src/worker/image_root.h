#pragma once
// An unpacked image that a sandbox may have as its root.

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::worker {

struct ImageRoot {
  std::string name;  // in the configuration
  std::filesystem::path root;
  std::string digest;                    // "sha256:..."
  std::vector<std::string> environment;  // the image's own: NAME=value
  std::string shell;                     // inside
};

// The root folder, with a shared lock (flock) on it that lasts until the last copy of the descriptor is
// closed: as long as there is one, the image is in use, whoever has it. Whoever removes an image has the
// exclusive lock meanwhile. Errors: those of open(2), unavailable (it is being removed).
[[nodiscard]] base::Result<base::Fd> open_image_root(const ImageRoot& image);

}  // namespace agentrouter::worker
