#pragma once
// What one turn changed: the difference between what git would show of the state that the turn began with (a
// checkpoint, or the layers of the turns before) and of the state that it leaves. The patch of the turns before and this one, applied one after
// the other, give the same tree as the patch of all.

#include "workspace/archived_layer.h"
#include "workspace/patch_writer.h"
#include "workspace/walk.h"

namespace agentrouter::workspace {

struct TurnPatchSource {
  const Folder& lower;
  const Stack& upper;
  const Changes& now;  // find_changes(upper, lower)
  int earlier = -1;    // the checkpoint's archive, seekable. Borrowed. -1: upper.earlier()
  int scratch = -1;    // an empty file for reading and writing. Borrowed
};

// A checkpoint that cannot be read, or a limit, leaves the patch truncated.
void write_turn_patch(const TurnPatchSource& source, const WalkLimits& limits, std::uint64_t file_bytes,
                      PatchWriter& patch);

}  // namespace agentrouter::workspace
