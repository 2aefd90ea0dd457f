#pragma once
// A run's events in the form that applications show: ten kinds of parts, each with the event that it came
// from. Events that say nothing to a person have no part; unknown types have none either.
//
//   std::visit(agentrouter::Overloaded{
//                  [](const agentrouter::ProgressPart& part) { std::clog << part.text << '\n'; },
//                  [](const agentrouter::TextPart& part) { std::cout << part.text; },
//                  [](const auto&) {}},
//              part);

#include <agentrouter/export.hpp>
#include <agentrouter/types.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace agentrouter {

enum class ApprovalDecision { approved, denied };
enum class ExecutionStatus { started, completed, failed };

// "approved"; "started".
[[nodiscard]] AGENTROUTER_API std::string_view to_string(ApprovalDecision decision);
[[nodiscard]] AGENTROUTER_API std::string_view to_string(ExecutionStatus status);

// action.proposed: exactly what may be executed.
struct ActionPart {
  std::string text;  // "Action proposed: codex.launch"
  std::string action_id;
  std::string action_digest;
  RunEvent event;
};

// approval.requested: the run waits until this digest is approved or denied.
struct ApprovalRequestPart {
  std::string text;  // "Approval requested for codex.launch"
  std::string action_id;
  std::string action_digest;
  RunEvent event;
};

// approval.decided.
struct ApprovalDecisionPart {
  std::string text;  // "Approval approved"
  std::string action_id;
  std::string action_digest;
  ApprovalDecision decision = ApprovalDecision::denied;
  RunEvent event;
};

// execution.started, execution.completed, execution.failed.
struct ExecutionPart {
  std::string text;  // "Execution started"
  std::string action_id;
  std::string action_digest;
  ExecutionStatus status = ExecutionStatus::started;
  RunEvent event;
};

// agent.response: the final answer.
struct TextPart {
  std::string text;
  RunEvent event;
};

// agent.message: what the agent says on its way.
struct MessagePart {
  std::string text;
  RunEvent event;
};

// agent.no_progress: the agent may be going in circles.
struct NoProgressPart {
  std::string signal;  // repeated_command, repeated_edit, long_output_without_state
  std::string text;
  RunEvent event;
};

// agent.error, and run.failed, which is the last part of a failed run.
struct ErrorPart {
  std::string text;
  RunEvent event;
};

// run.completed, run.cancelled. A failed run ends with an ErrorPart instead.
struct DonePart {
  RunStatus status = RunStatus::completed;
  RunEvent event;
};

// What goes on, in words: agent.progress, policy.evaluated, agent.started, sandbox.created, ...
struct ProgressPart {
  std::string text;
  RunEvent event;
};

using AgentStreamPart =
    std::variant<ActionPart, ApprovalRequestPart, ApprovalDecisionPart, ExecutionPart, TextPart, MessagePart,
                 NoProgressPart, ErrorPart, DonePart, ProgressPart>;

// The part of an event, if it has one. An event that lacks what its part needs has none.
[[nodiscard]] AGENTROUTER_API std::optional<AgentStreamPart> part_of(const RunEvent& event);

// The kind's name: action, approval_request, approval_decision, execution, text, message, no_progress, error,
// done, progress.
[[nodiscard]] AGENTROUTER_API std::string_view type_of(const AgentStreamPart& part);
// Both live as long as `part`. A DonePart has no text: empty.
[[nodiscard]] AGENTROUTER_API std::string_view text_of(const AgentStreamPart& part);
[[nodiscard]] AGENTROUTER_API const RunEvent& event_of(const AgentStreamPart& part);

// Joins lambdas to one visitor for std::visit.
template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace agentrouter
