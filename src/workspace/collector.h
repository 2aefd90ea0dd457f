#pragma once
// What an agent changed: the file index and the git patch of an overlay, from its layers alone.
//
// The lower layer is the base tree, those above it hold what differs (overlayfs with `userxattr`: a character
// device 0:0 is a deletion, user.overlay.opaque = "y" hides the folder below). Only what lies above the base
// is walked, so the cost follows the changes, not the repository. All layers are hostile: nothing is followed,
// nothing blocks, nothing is executed, and every size has a cap; what is over a cap is left out and
// `truncated` says so.
//
// A change is reported unless git would ignore it: .gitignore files of the merged tree and .git/info/exclude
// of the base apply to whatever the base's .git/index does not track. `.git` itself is never part of either.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "workspace/stack.h"

namespace agentrouter::workspace {

struct CollectLimits {
  std::uint64_t patch_bytes = 64ull << 20;
  std::uint64_t file_bytes =
      16ull << 20;  // a larger one is in the index, and named but not shown in the patch
  std::uint64_t index_entries = 200'000;
  std::uint64_t walked_entries = 2'000'000;
  unsigned depth = 256;  // folders below it are not entered
  std::uint64_t git_index_bytes = 256ull << 20;
  std::chrono::milliseconds wall_time{60'000};
};

struct PatchReport {
  std::uint64_t bytes = 0;  // 0 when nothing changed
  std::string sha256;       // 64 hex digits
  bool truncated = false;
};

struct CollectReport {
  struct Index {
    std::uint64_t bytes = 0;
    std::string sha256;  // 64 hex digits
    std::uint64_t files = 0;
    bool truncated = false;
  } index;
  using Patch = PatchReport;
  Patch patch;
  std::optional<Patch> turn_patch;  // of a turn that began with a checkpoint
};

// {"index":{"bytes","sha256","files","truncated"},"patch":{"bytes","sha256","truncated"},"turnPatch"?}
[[nodiscard]] std::string to_json(const CollectReport& report);
// Errors: invalid.
[[nodiscard]] base::Result<CollectReport> parse_report(std::string_view text);

// Borrowed descriptors. A layer that is -1 or no folder counts as empty.
struct CollectFds {
  int lower = -1;
  Stack upper;  // what lies above it
  int index_out = -1;
  int patch_out = -1;
  int turn_patch_out = -1;  // of a later turn: what only this one changed, turn_patch.h
  // Both of a turn that began with a checkpoint; without them the layers below the topmost one are the state
  // that the turn began with.
  int earlier = -1;  // the archive of the checkpoint, seekable
  int scratch = -1;  // an empty file for reading and writing
};

// Writes index and patch. The paths of both come in byte order, so equal layers give equal bytes.
// Errors: those of writing to the outputs. A layer that cannot be read in part counts as truncated.
[[nodiscard]] base::Result<CollectReport> collect(const CollectFds& fds, const CollectLimits& limits = {});

// Descriptors of `agentrouter collect`, which the sandbox's init starts inside the run's user namespace.
namespace collect_fd {
inline constexpr int lower = 3;  // the base tree, or /dev/null
inline constexpr int upper = 4;  // Stack::numbered
inline constexpr int index_out = 6;  // 5 is the agent's home, which the collector does not need
inline constexpr int patch_out = 7;
inline constexpr int report_out = 8;  // to_json(report), last
inline constexpr int turn_patch_out = 9;  // of `agentrouter collect turn` and `collect kept-turn`
inline constexpr int earlier = 10;        // these two: only of `agentrouter collect turn`
inline constexpr int scratch = 11;
}  // namespace collect_fd

// The whole subcommand: limits itself (address space, open files, CPU and wall time), collects, writes the
// report. Returns the exit status: 0, or 1 with nothing on report_out when the work could not be done.
// `kept_turn`: the layers of the turns before lie below this one's.
enum class CollectWhat { all, all_and_turn, all_and_kept_turn };
// What follows "collect" on the command line; nothing, "turn" or "kept-turn".
[[nodiscard]] CollectWhat collect_what(std::string_view word);
[[nodiscard]] int run_collector(CollectWhat what);

}  // namespace agentrouter::workspace
