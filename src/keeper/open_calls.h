#pragma once
// Counts the tool calls that the agent has open: an agent with one is at work, however quiet it is. Going in
// circles is noticed by the adapters, which see a call's whole output.

#include <map>
#include <string>

#include "agents/session.h"
#include "base/event.h"

namespace agentrouter::keeper {

class OpenCalls {
 public:
  // Gives agent.tool_completed a durationMs when the agent's protocol has none: since the call was let go, or
  // was told of when nobody was asked. A call that was declined took no time.
  void see(agents::EmitEvent& event, base::Deadline now);
  // The question about this call is answered: it begins now.
  void released(const std::string& call_id, base::Deadline now);
  // Calls that were started and have not completed.
  [[nodiscard]] std::size_t count() const { return open_.size(); }

 private:
  std::map<std::string, base::Deadline> open_;
};

}  // namespace agentrouter::keeper
