#include "policy/policy.h"

#include "policy/plain_read.h"

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

bool is_plainly_read_only(const ToolFacts& facts) {
  if (facts.tool == "shell") return only_reads(script_of(facts.command));
  return facts.tool == "read" || facts.tool == "todo" || facts.tool == "subagent";
}

ToolVerdict judge_tool(const model::Runtime& runtime, const ToolFacts& facts) {
  const std::string mode = "mode " + runtime.mode;
  const bool reads_only = runtime.mode == "read_only" || runtime.mode == "plan";
  if (reads_only && facts.tool == "edit") return {ToolDecision::deny, mode + " does not change files"};
  const bool asks_nobody = runtime.mode == "dontAsk";
  const bool reviewed = runtime.mode == "auto" || runtime.mode == "auto_review";
  if (!asks_nobody && !reviewed) return {ToolDecision::allow, mode + " allows it"};
  if (is_plainly_read_only(facts)) return {ToolDecision::allow, mode + " allows what only reads"};
  if (reviewed) return {ToolDecision::review, mode + " wants a reviewer's word"};
  return {ToolDecision::deny,
          mode + " denies what would have to be asked about: it does not plainly only read"};
}

}  // namespace agentrouter::policy
