#pragma once
// Reads tool calls out of the agent's events: how many are open, and whether they go in circles.

#include <map>

#include "agents/session.h"
#include "policy/no_progress.h"

namespace agentrouter::keeper {

class ToolSignals {
 public:
  // The events that follow from `event`: agent.no_progress, without the provider field.
  std::vector<json::object> see(const agents::EmitEvent& event);
  // Calls that were started and have not completed.
  [[nodiscard]] std::size_t open_calls() const { return open_.size(); }

 private:
  struct Call {
    std::string tool;
    json::object args;
  };
  std::vector<json::object> judge(const Call& call, const json::object& completion);

  std::map<std::string, Call> open_;
  policy::NoProgress no_progress_;
};

}  // namespace agentrouter::keeper
