#include "keeper/open_calls.h"

namespace agentrouter::keeper {

void OpenCalls::see(agents::EmitEvent& event, base::Deadline now) {
  std::string call_id(base::get_string(event.payload, "callId").value_or(""));
  if (event.type == "agent.tool_started") open_.try_emplace(std::move(call_id), now);
  if (event.type != "agent.tool_completed") return;
  const auto found = open_.find(call_id);
  if (found == open_.end()) return;
  const bool declined = base::get_string(event.payload, "status") == "declined";
  if (declined) event.payload.erase("durationMs");
  if (!declined && !event.payload.contains("durationMs")) {
    event.payload["durationMs"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - found->second).count();
  }
  open_.erase(found);
}

void OpenCalls::released(const std::string& call_id, base::Deadline now) {
  const auto found = open_.find(call_id);
  if (found != open_.end()) found->second = now;
}

}  // namespace agentrouter::keeper
