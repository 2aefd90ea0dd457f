#include "keeper/open_calls.h"

namespace agentrouter::keeper {

void OpenCalls::see(const agents::EmitEvent& event) {
  std::string call_id(base::get_string(event.payload, "callId").value_or(""));
  if (event.type == "agent.tool_started") open_.insert(std::move(call_id));
  if (event.type == "agent.tool_completed") open_.erase(call_id);
}

}  // namespace agentrouter::keeper
