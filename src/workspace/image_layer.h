#pragma once
// One layer of an image put on the root that the layers below it have made.

#include <array>
#include <chrono>
#include <string>

#include "base/fd.h"
#include "workspace/disk_reserve.h"
#include "workspace/image.h"

namespace agentrouter::workspace {

// What all layers together have used of the limits.
struct ImageBudget {
  std::chrono::steady_clock::time_point deadline;
  std::uint64_t entries = 0;
  std::uint64_t packed = 0;  // bytes of the layers so far
  // Bytes of the layers unpacked, read or skipped: of what looks for deletions, and of what places files.
  std::array<std::uint64_t, 2> passed{};
  DiskReserve reserve;
  ImageReport* report = nullptr;
};

// Errors: invalid (image_limit, seconds).
[[nodiscard]] base::Result<void> check_time(const ImageLimits& limits, const ImageBudget& budget);

// `layer` is a tar, plain or compressed, from its beginning; `root` a folder. First what it deletes (.wh.NAME, and
// .wh..wh..opq for everything below a folder), then what it holds: so a deletion is of lower layers only, wherever it
// stands. A parent that is a link of the image is followed inside the root.
// Errors: those of unpack_image for a file.
[[nodiscard]] base::Result<void> apply_layer(int layer, int root, const ImageLimits& limits, ImageBudget& budget);

}  // namespace agentrouter::workspace
