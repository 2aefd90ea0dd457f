#pragma once
// A policy: ordered rules over what an agent wants to do. An action falls into parts (each command of a
// script, each file it writes to, each change of an edit); every part is judged by the first rule that
// matches it, and the strictest verdict is the action's. What is not understood is never allowed. Pure: the
// same document and facts give the same verdict, so a record can be judged again. docs/policies.md is the
// language.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/isolation.h"
#include "policy/egress_rules.h"
#include "policy/no_progress_rules.h"
#include "policy/policy.h"

namespace agentrouter::policy {

struct ActionFacts {
  // shell, edit, read, mcp, web, todo, subagent, network, launch or other.
  std::string tool;
  // As agents/session.h says of Ask: command, cwd, changes[{path,kind,diff}], server, tool, url, file_path;
  // of a network request: host, method, path, and server and tool where it calls a tool of an MCP server.
  json::object args = {};
  std::string runtime = {};  // codex, claude_code
  std::string mode = {};
  std::map<std::string, std::string> tags = {};
  // Minutes since Monday 00:00 UTC. Without it no rule with a time allows anything.
  std::optional<int> week_minute = std::nullopt;
};

struct RuleVerdict {
  Decision decision = Decision::blocked;  // what counts
  std::string policy_id = {};             // the name of the policy whose word it is
  std::string policy_version = {};        // "sha256:" and the digest of its document
  std::string rule_id = {};               // "default" and "not-understood" are no rules of the document
  std::string reason = {};                // a sentence for people and for the agent
  // The policy only records: `decision` is allowed, and `would_be` is what it would have been.
  bool dry_run = false;
  Decision would_be = Decision::blocked;  // equal to `decision` unless dry_run

  // Fields of policy.evaluated: policyId, policyVersion, ruleId, decision, reason; of a dry run also dryRun
  // and wouldBe.
  [[nodiscard]] json::object to_json() const;
};

class Policy;

// One or more policies that all must agree. Cheap to copy.
class Rules {
 public:
  // The JSON form of a policy file without `inherit` and `test`, or {"allOf": [...]} of such documents.
  // Errors: invalid (policy_invalid); the message says where in the document, what, and what is wanted.
  [[nodiscard]] static base::Result<Rules> parse(const json::object& document);

  // What parse() takes to get the same rules; pinned into an attempt's plan.
  [[nodiscard]] json::object document() const;
  // "sha256:" and the digest of the canonical document.
  [[nodiscard]] std::string version() const;
  // Names of the policies, joined by "+".
  [[nodiscard]] std::string name() const;

  // False when the policies say nothing but [no_progress], [[egress]] and require_isolation: then no action is
  // judged by them.
  [[nodiscard]] bool judges_actions() const;
  [[nodiscard]] RuleVerdict judge(const ActionFacts& facts) const;
  // What the rules themselves say: where none of a policy's rules matches, that policy allows. For what a
  // default is not about: starting the agent, and keeping up a connection that the run was given.
  [[nodiscard]] RuleVerdict judge_by_rules(const ActionFacts& facts) const;
  // What follows when the agent makes no progress: the strictest of what the policies say; the defaults when
  // none says anything.
  [[nodiscard]] NoProgressRules no_progress() const;

  // What [[egress]] of all of them lets a run reach: nothing where one of them has none.
  [[nodiscard]] const EgressRules& egress() const { return egress_; }
  // The stricter of what [[egress]] says and what rules about the tool `network` say; a default is not about it.
  // Of `run` its runtime, mode, tags and week_minute. Where such a rule wants to see requests, `inspect` is set.
  [[nodiscard]] EgressVerdict judge_egress(const EgressRequest& request, ActionFacts run) const;
  // EgressRules::inspects(), also for the sake of such rules.
  [[nodiscard]] bool inspects() const;
  // What has to stand between the agent and the machine at least: the strongest that a policy says, also in a
  // dry run.
  [[nodiscard]] model::Isolation require_isolation() const;

  // How each part of the action was understood and judged, in order; for `policy explain`.
  struct Part {
    std::string what;  // "command git push", "writes src/a.cpp"
    std::string rule_id;
    std::string reason;
    Decision decision = Decision::blocked;
    std::string policy_id;
  };
  [[nodiscard]] std::vector<Part> explain(const ActionFacts& facts) const;

  friend Rules tightened(const Rules& server, const Rules& caller);

 private:
  std::vector<std::shared_ptr<const Policy>> policies_;
  EgressRules egress_;  // of all policies
};

// The caller can only tighten: of the two verdicts the stricter one counts. The caller's dry run loosens
// nothing.
[[nodiscard]] Rules tightened(const Rules& server, const Rules& caller);

// `document` with what it leaves out taken from `parent`: the default, not_understood, keys of no_progress, and
// behind its own rules (also of [[egress]]) the parent's, which are called "PARENT/RULE". Whether only is recorded is each policy's own word.
[[nodiscard]] json::object inherited(json::object document, const json::object& parent);

// Policies that are always there: observe, ask-writes, ask-all, ci-safe, locked. Null for other names.
[[nodiscard]] const Rules* preset(std::string_view name);
[[nodiscard]] const std::vector<std::string>& preset_names();
// Whether a policy may be called so: 1 to 64 of a-z 0-9 - _.
[[nodiscard]] bool is_policy_name(std::string_view name);

}  // namespace agentrouter::policy
