#pragma once
// The verdict about one thing that the agent wants to do: the mode's and approvalMode's, and the policy's
// when the run names one. Of the two the stricter one counts.

#include "agents/session.h"
#include "keeper/plan.h"
#include "policy/policy.h"

namespace agentrouter::keeper {

struct ActionVerdict {
  policy::Decision decision = policy::Decision::blocked;
  bool review = false;       // allowed only with a reviewer's word
  std::string reason = {};   // a sentence for people and for the agent
  json::object fields = {};  // of policy.evaluated: policyId, policyVersion, ruleId?, decision, reason...
};

[[nodiscard]] ActionVerdict judge_action(const AttemptPlan& plan, const agents::Ask& ask, base::Time now);

// The same about starting the agent: approvalMode's, and what the policy's rules say. Its default is about
// what an agent does, not about whether it may.
[[nodiscard]] ActionVerdict judge_launch(const AttemptPlan& plan, base::Time now);

// Whether something that only keeps a connection up, which the run was given, passes without being an action
// of its own: unless a rule of the policy names it.
[[nodiscard]] bool judge_connection(const AttemptPlan& plan, const agents::Ask& ask, base::Time now);

// What the plan's rules say about a connection or request to another host than providers and MCP servers.
[[nodiscard]] policy::EgressVerdict judge_egress(const AttemptPlan& plan, const policy::EgressRequest& request,
                                                 base::Time now);

// The fields of policy.evaluated for a verdict of ours.
[[nodiscard]] json::object verdict_fields(std::string_view policy, std::string_view version,
                                          policy::Decision decision, std::string_view reason);

}  // namespace agentrouter::keeper
