#include "policy/action_mode.h"

#include <algorithm>

namespace agentrouter::policy {
namespace {

constexpr std::string_view version = "1";

ModeVerdict by_mode(ModeStep step, std::string reason) {
  return {step, std::string(tool_policy), std::string(version), std::move(reason)};
}

bool edits_only_inside(const ModeFacts& facts) {
  return facts.tool.tool == "edit" && !facts.changed_paths.empty() &&
         std::ranges::all_of(facts.changed_paths,
                             [&](const auto& path) { return is_inside(path, facts.workspace); });
}

// Denials and reviews are those of a run whose launch alone is approved.
std::optional<ModeVerdict> limit_of(const model::Runtime& runtime, const ModeFacts& facts) {
  auto verdict = judge_tool(runtime, facts.tool);
  if (verdict.decision == ToolDecision::deny) return by_mode(ModeStep::deny, std::move(verdict.reason));
  if (verdict.decision == ToolDecision::review) return by_mode(ModeStep::review, std::move(verdict.reason));
  return std::nullopt;
}

ModeVerdict ask_or_allow(const model::Runtime& runtime, const ModeFacts& facts) {
  const std::string mode = "mode " + runtime.mode;
  const bool accepts_edits = runtime.mode == "acceptEdits";
  if (runtime.mode != "default" && !accepts_edits) return by_mode(ModeStep::allow, mode + " allows it");
  if (is_plainly_read_only(facts.tool))
    return by_mode(ModeStep::allow, mode + " allows what only reads");
  if (accepts_edits && edits_only_inside(facts))
    return by_mode(ModeStep::allow, mode + " allows edits inside of the workspace");
  return by_mode(ModeStep::ask, mode + " asks about what does not plainly only read");
}

}  // namespace

bool is_inside(std::string_view path, std::string_view folder) {
  if (path.starts_with('/')) {
    if (!path.starts_with(folder) || path.size() <= folder.size() || path[folder.size()] != '/') return false;
    path.remove_prefix(folder.size() + 1);
  }
  if (path.empty() || path.find('\0') != std::string_view::npos) return false;
  while (!path.empty()) {
    const auto name = path.substr(0, path.find('/'));
    if (name == ".." || name == ".git") return false;
    path.remove_prefix(std::min(name.size() + 1, path.size()));
  }
  return true;
}

ModeVerdict judge_action(const model::Runtime& runtime, model::ApprovalMode approval,
                         const ModeFacts& facts) {
  auto limit = limit_of(runtime, facts);
  if (limit && limit->step == ModeStep::deny) return std::move(*limit);
  if (approval != model::ApprovalMode::automatic && facts.tool.tool != "todo") {
    return {ModeStep::ask, "approval-mode", std::string(version),
            "approvalMode manual requires a person's approval of every action"};
  }
  if (limit) return std::move(*limit);
  return ask_or_allow(runtime, facts);
}

ModeVerdict judge_action_under_policy(const model::Runtime& runtime, const ModeFacts& facts) {
  if (auto limit = limit_of(runtime, facts)) return std::move(*limit);
  return by_mode(ModeStep::allow, "mode " + runtime.mode + " leaves it to the policy");
}

}  // namespace agentrouter::policy
