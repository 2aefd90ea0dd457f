#pragma once
// What the runtime's mode and the run's approvalMode say about one thing that an agent wants to do, where each
// is an action of its own (approvalScope "action"). docs/modes.md is the table. A policy that the run names
// takes the place of the questions, never of the denials.

#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.h"

namespace agentrouter::policy {

struct ModeFacts {
  ToolFacts tool;
  std::vector<std::string> changed_paths = {};  // of edit, as the agent names them
  std::string workspace = "/workspace";
};

enum class ModeStep { allow, review, ask, deny };  // from loose to strict
struct ModeVerdict {
  ModeStep step = ModeStep::deny;
  std::string policy_id;
  std::string policy_version;
  std::string reason;  // a sentence for people and for the agent
};

// approvalMode manual asks about everything but the agent's own list of things to do; auto leaves it to the
// mode: `default` asks about what does not plainly only read, acceptEdits about what is no edit inside of the
// workspace either, the others as docs/modes.md says.
[[nodiscard]] ModeVerdict judge_action(const model::Runtime& runtime, model::ApprovalMode approval,
                                       const ModeFacts& facts);
// What of that holds under a policy that the run names: denials and reviews.
[[nodiscard]] ModeVerdict judge_action_under_policy(const model::Runtime& runtime, const ModeFacts& facts);

// Whether a path, as an agent names it, lies in the folder and outside of its .git. Names only: a link that
// leads out is the sandbox's business.
[[nodiscard]] bool is_inside(std::string_view path, std::string_view folder);

}  // namespace agentrouter::policy
