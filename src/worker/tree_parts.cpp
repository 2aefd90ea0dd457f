#include "worker/tree_parts.h"

#include <fcntl.h>

#include <algorithm>

#include "workspace/beneath.h"

namespace agentrouter::worker {

base::Result<workspace::UnpackReport> unpack_parts(TreeUnpacker& unpacker, const std::vector<TreePart>& parts, int into,
                                                   workspace::UnpackLimits limits, const std::string& label) {
  workspace::UnpackReport whole;
  for (const auto& part : parts) {
    const std::string path = part.path.empty() ? "." : part.path;
    const auto folder = workspace::open_beneath(into, path, O_RDONLY | O_DIRECTORY, workspace::Mounts::refuse);
    if (!folder)
      return base::fail(base::Code::invalid, "there is no folder for a part of the tree", "archive_refused");
    AGENTROUTER_TRY(const auto report, unpacker.unpack(part.archive.get(), folder.get(), limits, label));
    whole.files += report.files;
    whole.folders += report.folders;
    whole.bytes += report.bytes;
    limits.entries -= std::min(limits.entries, report.files + report.folders);
    limits.bytes -= std::min(limits.bytes, report.bytes);
  }
  return whole;
}

}  // namespace agentrouter::worker
