#pragma once
// What may be done: a proposed action goes in, a verdict comes out. Pure functions of their arguments, so
// that a verdict can be explained and repeated later from what the record says.

#include <string>
#include <string_view>

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

// What a question of the agent is about. `tool` is shell, edit, mcp or other.
struct ToolFacts {
  std::string tool;
};

// May an agent that was launched do this one thing, when only the launch is gated (approvalScope "run")? Yes,
// except what its mode forbids: read_only and plan block edits. Never asks. A shell command of such a mode is
// allowed, because its workspace is mounted read-only.
[[nodiscard]] Verdict judge_tool(const model::Runtime& runtime, const ToolFacts& facts);

}  // namespace agentrouter::policy
