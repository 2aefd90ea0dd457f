#pragma once
// What may be done: a proposed action goes in, a verdict comes out. Pure functions of their arguments, so
// that a verdict can be explained and repeated later from what the record says.

#include <string>
#include <string_view>

#include "base/json.h"
#include "model/run.h"

namespace agentrouter::policy {

enum class Decision { allowed, requires_approval, blocked };
[[nodiscard]] std::string_view to_string(Decision decision);

// The fields of policy.evaluated.
struct Verdict {
  Decision decision = Decision::blocked;
  std::string policy_id;
  std::string policy_version;
  std::string reason;  // a sentence for people
};

// May this run's agent be started? auto allows, manual asks a person, block refuses.
[[nodiscard]] Verdict judge_launch(model::ApprovalMode mode);

// What a question of the agent is about. `tool` is shell, edit, read, mcp, web, todo, subagent or other.
struct ToolFacts {
  std::string tool;
  std::string command = {};  // of shell
};

// Nothing outside of the agent's own head can change by it: reading, its list of things to do, starting a
// subagent (whose calls ask as well), a command that only reads.
[[nodiscard]] bool is_plainly_read_only(const ToolFacts& facts);

enum class ToolDecision { allow, deny, review };
struct ToolVerdict {
  ToolDecision decision = ToolDecision::deny;
  std::string reason;  // a sentence for people and for the agent
};
inline constexpr std::string_view tool_policy = "runtime-mode";
inline constexpr std::string_view review_policy = "auto-review";
inline constexpr std::string_view tool_policy_version = "2";

// May an agent that was launched do this one thing, when only the launch is gated (approvalScope "run")?
// docs/modes.md is the table. Never asks a person; `review` wants a reviewer's word (agents/review.h).
[[nodiscard]] ToolVerdict judge_tool(const model::Runtime& runtime, const ToolFacts& facts);

}  // namespace agentrouter::policy
