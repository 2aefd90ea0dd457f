#include "agents/asking_tools.h"

namespace agentrouter::agents {

AskingTools asking_tools(model::RuntimeKind kind) {
  if (kind == model::RuntimeKind::codex)
    // `exec` and `wait` are what models get instead that write programs over the other tools: each of those
    // asks as it would by itself.
    return {{"apply_patch", "exec", "exec_command", "mcp__*", "request_user_input", "tool_search",
             "update_plan", "wait", "write_stdin"},
            {"write_stdin"}};
  // DeferredToolPlaceholder is a name without a function.
  return {{"Agent", "Bash", "DeferredToolPlaceholder", "Edit", "NotebookEdit", "Read", "TaskCreate",
           "TaskGet", "TaskList", "TaskUpdate", "Write", "mcp__*"},
          {}};
}

}  // namespace agentrouter::agents
