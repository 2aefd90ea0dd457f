#include <agentrouter/parts.hpp>
#include <array>
#include <utility>

namespace agentrouter {
namespace {

using Part = std::optional<AgentStreamPart>;

std::string field(const RunEvent& event, std::string_view key) {
  return std::string(event.payload[key].as_string());
}

std::string first_of(const RunEvent& event, std::string_view one, std::string_view other,
                     std::string_view fallback = {}) {
  for (const auto key : {one, other}) {
    if (auto text = field(event, key); !text.empty()) return text;
  }
  return std::string(fallback);
}

std::string action_name(const RunEvent& event) {
  auto name = std::string(event.payload["action"]["name"].as_string());
  if (name.empty()) name = field(event, "actionName");
  return name.empty() ? "runtime action" : name;
}

// A part that is about an action; none when the event does not say which.
template <class Kind>
Part about_action(const RunEvent& event, std::string text, Kind part = {}) {
  part.action_id = field(event, "actionId");
  part.action_digest = field(event, "actionDigest");
  if (part.action_id.empty() || part.action_digest.empty()) return std::nullopt;
  part.text = std::move(text);
  part.event = event;
  return part;
}

template <class Kind>
Part with_text(const RunEvent& event, std::string text) {
  if (text.empty()) return std::nullopt;
  return Kind{.text = std::move(text), .event = event};
}

Part decided(const RunEvent& event) {
  const auto decision = field(event, "decision");
  if (decision != "approved" && decision != "denied") return std::nullopt;
  const auto value = decision == "approved" ? ApprovalDecision::approved : ApprovalDecision::denied;
  return about_action<ApprovalDecisionPart>(event, "Approval " + decision, {.decision = value});
}

Part execution(const RunEvent& event, ExecutionStatus status) {
  return about_action<ExecutionPart>(event, "Execution " + std::string(to_string(status)),
                                     {.status = status});
}

Part control(const RunEvent& event) {
  const auto& type = event.type;
  if (type == "action.proposed") {
    return about_action<ActionPart>(event, "Action proposed: " + action_name(event));
  }
  if (type == "approval.requested") {
    return about_action<ApprovalRequestPart>(event, "Approval requested for " + action_name(event));
  }
  if (type == "approval.decided") return decided(event);
  if (type == "execution.started") return execution(event, ExecutionStatus::started);
  if (type == "execution.completed") return execution(event, ExecutionStatus::completed);
  if (type == "execution.failed") return execution(event, ExecutionStatus::failed);
  if (type == "run.completed") return DonePart{.status = RunStatus::completed, .event = event};
  if (type == "run.cancelled") return DonePart{.status = RunStatus::cancelled, .event = event};
  return std::nullopt;
}

Part agent(const RunEvent& event) {
  const auto& type = event.type;
  if (type == "agent.response") return with_text<TextPart>(event, field(event, "text"));
  if (type == "agent.message") return with_text<MessagePart>(event, field(event, "text"));
  if (type == "agent.progress") return with_text<ProgressPart>(event, first_of(event, "summary", "message"));
  if (type == "agent.error" || type == "run.failed") {
    return with_text<ErrorPart>(event, first_of(event, "message", "reason", "Run failed"));
  }
  if (type == "agent.no_progress") {
    auto signal = field(event, "signal");
    return NoProgressPart{.signal = signal.empty() ? "no_progress" : std::move(signal),
                          .text = first_of(event, "reason", "message", "No-progress signal detected"),
                          .event = event};
  }
  return std::nullopt;
}

Part progress(const RunEvent& event) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> texts = {
      {{"agent.started", "Agent started"},
       {"sandbox.created", "Sandbox ready"},
       {"credential_boundary.verified", "Credential boundary verified"},
       {"workspace.file_index_collected", "Workspace file index collected"},
       {"workspace.patch_collected", "Workspace patch collected"}}};
  for (const auto& [type, text] : texts) {
    if (event.type == type) return with_text<ProgressPart>(event, std::string(text));
  }
  if (event.type != "policy.evaluated") return std::nullopt;
  return with_text<ProgressPart>(event, "Policy " + first_of(event, "decision", "decision", "evaluated"));
}

}  // namespace

std::optional<AgentStreamPart> part_of(const RunEvent& event) {
  if (auto part = control(event)) return part;
  if (auto part = agent(event)) return part;
  return progress(event);
}

std::string_view to_string(ApprovalDecision decision) {
  return decision == ApprovalDecision::approved ? "approved" : "denied";
}

std::string_view to_string(ExecutionStatus status) {
  constexpr std::array<std::string_view, 3> names = {"started", "completed", "failed"};
  return names.at(static_cast<std::size_t>(status));
}

std::string_view type_of(const AgentStreamPart& part) {
  constexpr std::array<std::string_view, std::variant_size_v<AgentStreamPart>> names = {
      "action", "approval_request", "approval_decision", "execution",
      "text",   "message",          "no_progress",       "error",
      "done",   "progress"};
  return names.at(part.index());
}

std::string_view text_of(const AgentStreamPart& part) {
  return std::visit(
      []<class Kind>(const Kind& kind) -> std::string_view {
        if constexpr (requires { kind.text; }) return kind.text;
        return {};
      },
      part);
}

const RunEvent& event_of(const AgentStreamPart& part) {
  return std::visit([](const auto& kind) -> const RunEvent& { return kind.event; }, part);
}

}  // namespace agentrouter
