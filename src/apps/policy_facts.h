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

struct PolicyTestResult {
  int passed = 0;
  std::vector<std::string> failures;  // one line each
};
// Cases are facts_of() with `expect` (allow, ask, deny) and maybe `rule`. Errors: invalid, naming the case.
[[nodiscard]] base::Result<PolicyTestResult> test_policy(const policy::Rules& rules,
                                                         const json::array& cases);

// allow, ask or deny.
[[nodiscard]] std::string_view verdict_word(policy::Decision decision);

}  // namespace agentrouter::apps
