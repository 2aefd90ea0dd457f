#pragma once
// `agentrouter read-files`: answers one request for the files of a run. Of a running one it is started by the
// sandbox's init, as the collector is, inside the run's own namespaces; of an ended one by the server, as a
// process of its own. The server itself never opens what an agent wrote.

#include <string_view>

#include "workspace/file_request.h"
#include "workspace/file_view.h"

namespace agentrouter::workspace {

struct FileReadLimits {
  std::uint64_t bytes = 4ull << 30;  // of one answer; more is refused, and a range can be asked for
};

// Writes the whole answer, errors included. Errors: those of writing.
[[nodiscard]] base::Result<void> answer_files(const FileView& view, const FileRequest& request, FrameWriter& out,
                                              const FileReadLimits& limits = {});

// Descriptors of `agentrouter read-files live|kept`. The request is no argument, because the agent sees those
// of the processes beside it.
namespace files_fd {
inline constexpr int base = 3;   // the base tree, or /dev/null
inline constexpr int state = 4;  // live: Stack::numbered; kept: the checkpoint's archive, or /dev/null
inline constexpr int out = 6;    // 5 is the agent's home, which is not needed
inline constexpr int request = 7;
}  // namespace files_fd

// The whole subcommand. Returns the exit status: 0, or 1 when the answer could not be written.
[[nodiscard]] int run_files(std::string_view where);

}  // namespace agentrouter::workspace
