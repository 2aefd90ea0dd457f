#pragma once
// What `agentrouter policy explain` and the tests of a policy file ask about, in the words of a person.

#include "base/error.h"
#include "base/json.h"
#include "policy/rules.h"

namespace agentrouter::apps {

// Of {tool, command, path, read, change, lines, url, host, method, url_path, mcp, cwd, runtime, mode, tags,
// time}, all but one of command, path, read, url, host and mcp optional: the tool follows from it.
//
// Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<policy::ActionFacts> facts_of(const json::object& question);

// The request that a question with `url` ("https://host/path", "http://...", "tcp://host:22") is, where a program
// of the sandbox makes it; nothing for other questions. Errors: invalid.
[[nodiscard]] base::Result<std::optional<policy::EgressRequest>> egress_request_of(const json::object& question);
// What [[egress]] says about it, and whether its connection is looked into.
[[nodiscard]] policy::EgressVerdict judge_egress(const policy::Rules& rules, const policy::EgressRequest& request,
                                                 const policy::ActionFacts& facts);

struct PolicyTestResult {
  int passed = 0;
  std::vector<std::string> failures;  // one line each
};
// Cases are facts_of() with `expect` (allow, ask, deny) and maybe `rule`; of a `url` also, or instead, `egress` and
// maybe `egress_rule`: what [[egress]] says. Of a policy that judges no action `expect` is about that, too. Errors: invalid, naming the case.
[[nodiscard]] base::Result<PolicyTestResult> test_policy(const policy::Rules& rules,
                                                         const json::array& cases);

// allow, ask or deny.
[[nodiscard]] std::string_view verdict_word(policy::Decision decision);

}  // namespace agentrouter::apps
