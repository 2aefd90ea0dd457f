#pragma once
// Counts the tool calls that the agent has open: an agent with one is at work, however quiet it is. Going in
// circles is noticed by the adapters, which see a call's whole output.

#include <set>
#include <string>

#include "agents/session.h"

namespace agentrouter::keeper {

class OpenCalls {
 public:
  void see(const agents::EmitEvent& event);
  // Calls that were started and have not completed.
  [[nodiscard]] std::size_t count() const { return open_.size(); }

 private:
  std::set<std::string> open_;
};

}  // namespace agentrouter::keeper
