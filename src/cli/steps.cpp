#include "cli/steps.h"

#include <map>

#include "cli/text.h"

namespace agentrouter::cli {
namespace {

using Describe = std::optional<Step> (*)(const RunEvent&);

std::string field(const RunEvent& event, std::string_view key) {
  return one_line(event.payload[key].as_string());
}

std::string first_of(const RunEvent& event, std::initializer_list<std::string_view> keys) {
  for (const auto key : keys) {
    if (auto text = field(event, key); !text.empty()) return text;
  }
  return {};
}

std::string action_name(const RunEvent& event) {
  auto name = one_line(event.payload["action"]["name"].as_string());
  if (name.empty()) name = field(event, "actionName");
  return name.empty() ? "an action" : name;
}

std::string agent_name(const RunEvent& event) {
  const auto provider = event.payload["provider"].as_string(event.source);
  return provider == "codex" ? "Codex" : provider == "claude_code" ? "Claude Code" : one_line(provider);
}

// ": reason", or nothing.
std::string because(const std::string& reason) {
  return reason.empty() ? std::string() : ": " + reason;
}

std::optional<Step> tool_started(const RunEvent& event) {
  const auto title = first_of(event, {"title", "tool"});
  const bool shell = event.payload["tool"].as_string() == "shell";
  return Step{StepKind::tool, shell ? "$ " + title : field(event, "tool") + " " + title};
}

// The start of a tool call has been told: only what is news.
std::optional<Step> tool_completed(const RunEvent& event) {
  const auto& payload = event.payload;
  const auto status = payload["status"].as_string();
  const auto duration =
      payload.has("durationMs")
          ? " after " + human_duration(std::chrono::milliseconds(payload["durationMs"].as_int()))
          : std::string();
  if (status == "declined") return Step{StepKind::warning, "declined"};
  if (payload["exitCode"].as_int() != 0) {
    return Step{StepKind::warning, "exit code " + std::to_string(payload["exitCode"].as_int()) + duration};
  }
  if (status == "failed") return Step{StepKind::warning, "failed" + duration};
  std::string paths;
  for (const auto& change : payload["changes"].as_array()) {
    paths += (paths.empty() ? "" : ", ") + one_line(change["path"].as_string());
  }
  if (paths.empty()) return std::nullopt;
  return Step{StepKind::good, "changed " + paths};
}

std::optional<Step> policy_tightened(const RunEvent& event) {
  return Step{StepKind::warning,
              "Policy " + field(event, "policyId") + " has changed: what it says now holds, too"};
}

std::optional<Step> sandbox_destroyed(const RunEvent& event) {
  if (const auto lost = field(event, "checkpointLost"); !lost.empty())
    return Step{StepKind::warning,
                "What this turn has changed is lost: the next one begins where this one began"};
  const auto error = field(event, "checkpointError");
  if (error.empty()) return std::nullopt;
  return Step{StepKind::warning, "The conversation cannot go on: " + error};
}

std::optional<Step> approval_requested(const RunEvent& event) {
  const auto id = one_line(event.run_id);
  return Step{StepKind::warning, "Approval needed for " + action_name(event) + ": agentrouter approve " + id +
                                     " " + field(event, "actionId") + "   (or: agentrouter deny " + id + " " +
                                     field(event, "actionId") + ")"};
}

std::optional<Step> approval_decided(const RunEvent& event) {
  const bool approved = event.payload["decision"].as_string() == "approved";
  return Step{approved ? StepKind::good : StepKind::bad,
              std::string(approved ? "Approved" : "Denied") + because(field(event, "reason"))};
}

std::optional<Step> policy_evaluated(const RunEvent& event) {
  const auto decision = field(event, "decision");
  if (decision == "allowed") return std::nullopt;
  return Step{decision == "blocked" ? StepKind::bad : StepKind::note,
              "Policy: " + decision + because(field(event, "reason"))};
}

std::optional<Step> retry(const RunEvent& event) {
  const auto& payload = event.payload;
  std::string text = "The provider ";
  text += payload.has("status") ? "answered " + std::to_string(payload["status"].as_int()) : "did not answer";
  text += ", attempt " + std::to_string(payload["attempt"].as_int());
  if (payload.has("max")) text += " of " + std::to_string(payload["max"].as_int());
  if (payload.has("delayMs")) {
    text += " in " + human_duration(std::chrono::milliseconds(payload["delayMs"].as_int()));
  }
  return Step{StepKind::warning, text};
}

std::optional<Step> egress_request(const RunEvent& event) {
  const auto decision = event.payload["decision"].as_string();
  if (decision == "forwarded" || decision == "answered" || decision.empty()) return std::nullopt;
  return Step{StepKind::warning, "Request to " + field(event, "host") + ": " + one_line(decision)};
}

std::optional<Step> message(const RunEvent& event) {
  auto text = printable(event.payload["text"].as_string());
  while (text.ends_with('\n') || text.ends_with(' ')) text.pop_back();
  if (text.empty()) return std::nullopt;
  return Step{StepKind::message, std::move(text)};
}

std::optional<Step> progress(const RunEvent& event) {
  auto text = first_of(event, {"summary", "message"});
  if (text.empty()) return std::nullopt;
  return Step{StepKind::note, std::move(text)};
}

template <StepKind kind>
std::optional<Step> reason(const RunEvent& event) {
  auto text = first_of(event, {"message", "reason", "signal", "limit", "code"});
  return Step{kind, text.empty() ? one_line(event.type) : std::move(text)};
}

std::optional<Step> no_progress(const RunEvent& event) {
  auto text = first_of(event, {"reason", "message", "signal"});
  for (const auto* key : {"command", "path", "title", "error"}) {
    const auto detail = field(event, key);
    if (detail.empty()) continue;
    text += ": " + fit(detail, 120);
    break;
  }
  const auto action = event.payload["action"].as_string();
  if (action == "interrupt") text += " (the agent is interrupted and told)";
  if (action == "ask") text += " (a person decides whether the run goes on)";
  if (action == "stop") text += " (the run is stopped)";
  return Step{action == "stop" ? StepKind::bad : StepKind::warning, "No progress: " + text};
}

const std::map<std::string_view, Describe>& descriptions() {
  static const std::map<std::string_view, Describe> table = {
      {"run.claimed",
       [](const RunEvent&) { return std::optional(Step{StepKind::activity, "Taken by a worker"}); }},
      {"run.attempt_started",
       [](const RunEvent& event) {
         const auto number = std::to_string(event.payload["attempt"].as_int());
         return std::optional(Step{StepKind::warning, "Attempt " + number + " started"});
       }},
      {"sandbox.created",
       [](const RunEvent&) { return std::optional(Step{StepKind::note, "Sandbox ready"}); }},
      {"sandbox.resumed",
       [](const RunEvent&) { return std::optional(Step{StepKind::note, "Sandbox resumed"}); }},
      {"credential_boundary.verified",
       [](const RunEvent&) { return std::optional(Step{StepKind::note, "Credential boundary verified"}); }},
      {"action.proposed",
       [](const RunEvent& event) {
         return std::optional(Step{StepKind::activity, "Action proposed: " + action_name(event)});
       }},
      {"policy.evaluated", policy_evaluated},
      {"policy.tightened", policy_tightened},
      {"approval.requested", approval_requested},
      {"approval.decided", approval_decided},
      {"approval.expired",
       [](const RunEvent&) { return std::optional(Step{StepKind::bad, "The approval came too late"}); }},
      {"approval.withdrawn",
       [](const RunEvent&) {
         return std::optional(Step{StepKind::note, "The approval is no longer needed"});
       }},
      {"execution.failed", reason<StepKind::warning>},
      {"agent.started",
       [](const RunEvent& event) {
         return std::optional(Step{StepKind::note, agent_name(event) + " started"});
       }},
      {"agent.progress", progress},
      {"agent.message", message},
      {"agent.tool_started", tool_started},
      {"agent.tool_completed", tool_completed},
      {"agent.retry", retry},
      {"agent.no_progress", no_progress},
      {"agent.error", reason<StepKind::bad>},
      {"limit.warning",
       [](const RunEvent& event) {
         return std::optional(Step{StepKind::warning, std::to_string(event.payload["percent"].as_int()) +
                                                          " % of " + field(event, "limit") + " used"});
       }},
      {"limit.exceeded", reason<StepKind::bad>},
      {"sandbox.memory_kill",
       [](const RunEvent& event) {
         return std::optional(Step{StepKind::warning, std::to_string(event.payload["processes"].as_int()) +
                                                          " processes were killed: out of memory"});
       }},
      {"egress.request", egress_request},
      {"sandbox.destroyed", sandbox_destroyed},
      {"workspace.file_index_collected",
       [](const RunEvent&) { return std::optional(Step{StepKind::activity, "Collecting changed files"}); }},
      {"workspace.patch_collected",
       [](const RunEvent&) { return std::optional(Step{StepKind::activity, "Collecting the patch"}); }},
  };
  return table;
}

}  // namespace

std::optional<Step> step_of(const RunEvent& event) {
  const auto found = descriptions().find(event.type);
  return found == descriptions().end() ? std::nullopt : found->second(event);
}

std::string summary_of(const RunEvent& event) {
  if (const auto step = step_of(event)) return one_line(step->text);
  if (event.type == "agent.response") return one_line(event.payload["text"].as_string());
  const auto text = first_of(event, {"message", "reason"});
  if (!text.empty()) return text;
  return event.payload.as_object().empty() ? std::string() : one_line(event.payload.dump());
}

}  // namespace agentrouter::cli
