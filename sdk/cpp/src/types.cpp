#include <agentrouter/types.hpp>
#include <array>

namespace agentrouter {
namespace {

constexpr std::array<std::string_view, 8> status_names = {"queued",    "starting", "running",   "cancelling",
                                                          "completed", "failed",   "cancelled", "unknown"};
}

std::string_view to_string(RunStatus status) {
  return status_names.at(static_cast<std::size_t>(status));
}

RunStatus run_status_from(std::string_view text) {
  for (std::size_t i = 0; i < status_names.size(); ++i) {
    if (status_names[i] == text) return static_cast<RunStatus>(i);
  }
  return RunStatus::unknown;
}

bool is_terminal(RunStatus status) {
  return status == RunStatus::completed || status == RunStatus::failed || status == RunStatus::cancelled;
}

bool is_terminal_event(std::string_view type) {
  return type == "run.completed" || type == "run.failed" || type == "run.cancelled";
}

RuntimeSelection codex(CodexOptions options) {
  return {.kind = "codex", .mode = std::move(options.mode), .model = std::move(options.model)};
}

RuntimeSelection claude_code(ClaudeCodeOptions options) {
  return {.kind = "claude_code",
          .permission_mode = std::move(options.permission_mode),
          .model = std::move(options.model)};
}

}  // namespace agentrouter
