#pragma once
// An event in the words that a person follows a run by. Events that say nothing to a person have no step,
// unknown types included: a newer server may have them.

#include <agentrouter/types.hpp>
#include <optional>
#include <string>

namespace agentrouter::cli {

enum class StepKind {
  note,      // the run has moved on
  activity,  // what goes on now: only worth showing while it does
  tool,      // the agent uses a tool
  message,   // the agent says something; may have several lines
  good,
  warning,
  bad,
};

struct Step {
  StepKind kind = StepKind::note;
  std::string text;  // printable
};

[[nodiscard]] std::optional<Step> step_of(const RunEvent& event);

// One printable line for any event, also those without a step.
[[nodiscard]] std::string summary_of(const RunEvent& event);

}  // namespace agentrouter::cli
