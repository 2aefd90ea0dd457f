#pragma once
// A base tree out of the archives that it is made of, one after the other.

#include <string>
#include <vector>

#include "base/fd.h"
#include "worker/ports.h"

namespace agentrouter::worker {

struct TreePart {
  std::string path;  // below the tree; empty for the tree itself
  base::Fd archive;  // read from where it stands
};

// `into` is the tree's empty folder (borrowed). The limits are those of all parts together. Blocks. Errors: invalid
// (archive_refused: there is no folder for a part), those of TreeUnpacker::unpack.
[[nodiscard]] base::Result<workspace::UnpackReport> unpack_parts(TreeUnpacker& unpacker, const std::vector<TreePart>& parts,
                                                                 int into, workspace::UnpackLimits limits,
                                                                 const std::string& label);

}  // namespace agentrouter::worker
