#include "cli/take_over.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "cli/folder.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

// False for a line that says no, and at the end of input.
bool agrees(Context& context) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  while (!context.line_typed()) {
    if (context.interrupt.stop_requested()) return false;
    never.wait_for(lock, context.interrupt, std::chrono::milliseconds(50), [] { return false; });
  }
  std::string line;
  if (!std::getline(context.in, line)) return false;
  const auto word = one_line(line);
  return word == "y" || word == "yes";
}

bool apply(const Artifact& artifact, const Command& command, Context& context) {
  const auto folder = std::filesystem::canonical(command.workspace);
  const TemporaryFile patch(".patch");
  context.client.download_artifact(artifact.run_id, artifact.id, patch.path(), {.stop = context.interrupt});
  const auto shown = one_line(folder.string());
  if (!apply_patch(folder, patch.path())) {
    context.output.err << "The changes do not fit " << shown << " any more; nothing was changed" << std::endl;
    return false;
  }
  context.output.err << "Applied to " << shown << std::endl;
  return true;
}

}  // namespace

bool take_over(const RunSession& session, const Command& command, Context& context) {
  auto& err = context.output.err;
  const auto patch = std::ranges::find(session.artifacts, "workspace_patch", &Artifact::kind);
  if (patch == session.artifacts.end() || patch->size_bytes == 0) return true;
  if (command.apply) return apply(*patch, command, context);
  if (!command.json && context.line_typed) {
    err << "Apply the changes to " << one_line(command.workspace) << "? [y]es, [n]o: " << std::flush;
    if (agrees(context)) return apply(*patch, command, context);
  }
  if (!command.json) {
    err << "Take the changes over: agentrouter download " << one_line(session.run.id)
        << " workspace_patch -o - | git apply" << std::endl;
  }
  return true;
}

}  // namespace agentrouter::cli
