#pragma once
// What is left when nothing runs inside any more: the file index and the patch, made by our collector inside
// the sandbox and written into the attempt's folder.

#include <set>

#include "keeper/notices.h"
#include "workspace/checkpoint.h"
#include "workspace/collector.h"

namespace agentrouter::keeper {

// Files below the attempt's folder: what this turn leaves for the next one, and what the one before has left.
inline constexpr const char* checkpoint_file = "checkpoint.tar.zst";
inline constexpr const char* restore_file = "restore.tar.zst";

inline constexpr const char* turn_patch_file = "turn.patch";

// `restored`: the turn began with the state in restore.tar.zst; `kept`: with the layers of the turns before.
enum class TurnStart { afresh, restored, kept };

// Runs the collector and waits for it, at most `patience`; a collector that takes longer is killed. Writes
// index.json and changes.patch below `attempt_dir`, and turn.patch of a turn that did not begin afresh.
//
// Errors: unavailable (it could not be started, or failed), timeout.
base::Task<base::Result<workspace::CollectReport>> collect_changes(
    Sandbox& sandbox, Notices& notices, int attempt_dir, TurnStart start,
    std::chrono::milliseconds patience = std::chrono::seconds(90));

// Runs the checkpointer in the same way, which writes checkpoint.tar.zst below `attempt_dir`. `left_out` are
// paths in the agent's home. After an error the file is not there.
//
// Errors: unavailable (also for what the checkpointer itself could not do), timeout.
base::Task<base::Result<workspace::CheckpointReport>> save_checkpoint(
    Sandbox& sandbox, Notices& notices, int attempt_dir, const std::vector<std::string>& left_out,
    std::chrono::milliseconds patience = std::chrono::seconds(90));

// `files`: the workspace's part of it only.
enum class RestorePart { all, files };
// The word with which the restorer is told so.
inline constexpr const char* restore_files_only = "files";

// Before the agent: puts what restore.tar.zst below `attempt_dir` holds into the workspace and the home.
//
// Errors: not_found, unavailable, timeout. What was restored is then of no use.
base::Task<base::Result<void>> restore_checkpoint(
    Sandbox& sandbox, Notices& notices, int attempt_dir, RestorePart part = RestorePart::all,
    std::chrono::milliseconds patience = std::chrono::seconds(90));

// Starts a process that answers one request for files (workspace/files_command.h) and adds it to `started`;
// gives the read end of the pipe that it writes to. Returns at once.
//
// Errors: unavailable, exhausted.
[[nodiscard]] base::Result<base::Fd> start_reader(Sandbox& sandbox, const std::string& request,
                                                  std::set<pid_t>& started);

}  // namespace agentrouter::keeper
