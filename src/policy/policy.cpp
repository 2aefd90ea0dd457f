#include "policy/policy.h"

namespace agentrouter::policy {

std::string_view to_string(Decision decision) {
  switch (decision) {
    case Decision::allowed:
      return "allowed";
    case Decision::requires_approval:
      return "requires_approval";
    case Decision::blocked:
      return "blocked";
  }
  return "blocked";
}

Verdict judge_launch(model::ApprovalMode mode) {
  const auto verdict = [](Decision decision, std::string reason) {
    return Verdict{decision, "approval-mode", "1", std::move(reason)};
  };
  switch (mode) {
    case model::ApprovalMode::automatic:
      return verdict(Decision::allowed, "approvalMode auto allows the launch");
    case model::ApprovalMode::manual:
      return verdict(Decision::requires_approval, "approvalMode manual requires a person's approval");
    case model::ApprovalMode::block:
      break;
  }
  return verdict(Decision::blocked, "approvalMode block refuses every launch");
}

Verdict judge_tool(const model::Runtime& runtime, const ToolFacts& facts) {
  const bool reads_only = runtime.mode == "read_only" || runtime.mode == "plan";
  Verdict verdict{Decision::allowed, "runtime-mode", "1", "mode " + runtime.mode + " allows it"};
  if (reads_only && facts.tool == "edit") {
    verdict.decision = Decision::blocked;
    verdict.reason = "mode " + runtime.mode + " does not change files";
  }
  return verdict;
}

}  // namespace agentrouter::policy
