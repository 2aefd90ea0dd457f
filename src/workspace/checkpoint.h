#pragma once
// The state that one turn leaves for the next: the workspace's changes (all layers above the base, with .git
// and ignored files) below `workspace/`, the agent's home below `home/`. Names as entry_name.h says. Written
// from the layers when nothing runs any more; read back through a fresh overlay on the same base.
// Cost follows the changes.
//
// Kept: bytes, permission bits, times of change to the nanosecond, links, hard links among themselves,
// deletions. Not kept: sockets, pipes and devices (a deletion takes the place of one), extended attributes,
// owners: everything belongs to the agent.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "workspace/stack.h"

namespace agentrouter::workspace {

struct CheckpointLimits {
  std::uint64_t bytes = 4ull << 30;  // of all files together, and of the archive
  std::uint64_t entries = 200'000;
  unsigned depth = 256;  // of folders
  std::chrono::milliseconds wall_time{60'000};
};

struct CheckpointReport {
  std::uint64_t bytes = 0;  // of the archive
  std::string sha256;       // 64 hex digits, of the archive
  std::uint64_t entries = 0;
  // What the turn's own layers take on the disk; none when nothing can stand on them as it would on the
  // restored archive: there are hard links, or too many files to tell.
  std::optional<std::uint64_t> layer_bytes = {};
};

struct CheckpointSource {
  Stack workspace;
  Stack home;
  int out = -1;  // borrowed
};

// `left_out`: paths in the home, with all below them, that the next turn has or makes by itself.
//
// Errors: exhausted (a limit), timeout, those of reading and writing. The output is then of no use.
[[nodiscard]] base::Result<CheckpointReport> write_checkpoint(const CheckpointSource& source,
                                                              const std::vector<std::string>& left_out,
                                                              const CheckpointLimits& limits = {});

struct RestoreFds {
  int archive = -1;
  int workspace = -1;  // the merged tree. A read-only mount has no changes: its entries are skipped
  int home = -1;       // -1: what belongs there is skipped
};

// The archive is hostile: nothing outside the two folders is touched, no link is followed, nothing but
// files, folders and links is made. After an error both trees are of no use.
//
// Errors: corrupt (damaged, or not one of ours), exhausted (a limit), timeout, those of writing.
[[nodiscard]] base::Result<void> restore_checkpoint(const RestoreFds& fds,
                                                    const CheckpointLimits& limits = {});

// {"bytes","sha256","entries","layerBytes"?}
[[nodiscard]] std::string to_json(const CheckpointReport& report);
// {"error"}
[[nodiscard]] std::string to_json(const base::Error& error);
// Errors: what a report of an error says, invalid for what is no report.
[[nodiscard]] base::Result<CheckpointReport> parse_checkpoint_report(std::string_view text);
// "{}" or a report of an error.
[[nodiscard]] base::Result<void> parse_restore_report(std::string_view text);

// Descriptors of `agentrouter checkpoint LEFT_OUT...`, which init starts as it starts the collector.
namespace checkpoint_fd {
inline constexpr int upper = 4;  // Stack::numbered
inline constexpr int home = 5;   // the same
inline constexpr int out = 6;
inline constexpr int report_out = 7;
}  // namespace checkpoint_fd

// Descriptors of `agentrouter restore`, which init starts with the agent's rights before the agent.
namespace restore_fd {
inline constexpr int archive = 3;
inline constexpr int report_out = 4;
}  // namespace restore_fd

// The whole subcommands: they limit themselves, work, and write their report. Exit status 0, or 1 when the
// report is of an error or could not be written.
[[nodiscard]] int run_checkpointer(const std::vector<std::string>& left_out);
// `home` may be null: only the workspace's part is restored.
[[nodiscard]] int run_restorer(const char* workspace, const char* home);

}  // namespace agentrouter::workspace
