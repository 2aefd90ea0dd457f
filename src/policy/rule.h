#pragma once
// One rule, and whether it matches one part of an action. Used by rules.h only.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/isolation.h"
#include "policy/action_parts.h"
#include "policy/egress_rules.h"
#include "policy/no_progress_rules.h"
#include "policy/policy.h"

namespace agentrouter::policy {

using Patterns = std::vector<std::string>;

struct Rule {
  std::string id;
  Decision verdict = Decision::blocked;
  std::string reason = {};

  // Each that is given has to match.
  Patterns tool = {};
  std::vector<Patterns> command = {};  // each a program and the words behind it
  Patterns with = {};
  Patterns without = {};
  Patterns options = {};  // the only ones
  Patterns env = {};      // what a command that is allowed may set
  Patterns path = {};
  Patterns change = {};
  Patterns mcp = {};
  Patterns host = {};
  Patterns method = {};
  Patterns url_path = {};
  Patterns runtime = {};
  Patterns mode = {};
  std::vector<std::pair<std::string, Patterns>> tag = {};
  std::vector<int> days = {};                     // 0 is Monday
  std::optional<std::pair<int, int>> hours = {};  // minutes of a day, from and to; may pass midnight
  std::optional<std::int64_t> max_lines = {}, max_bytes = {}, max_files = {};
  std::optional<std::int64_t> over_lines = {}, over_bytes = {}, over_files = {};

  [[nodiscard]] bool about_commands() const {
    return !command.empty() || !with.empty() || !without.empty() || !options.empty();
  }
};

// `maybe` is for what an expansion or missing facts decide.
enum class Match { no, maybe, yes };
[[nodiscard]] Match match(const Rule& rule, const Action& action, const Part& part);

class Policy {
 public:
  std::string name;
  Decision fallback = Decision::requires_approval;
  Decision not_understood = Decision::requires_approval;
  bool dry_run = false;
  bool judges = true;  // false: it is only about progress or the way out
  std::vector<Rule> rules;
  std::optional<NoProgressRules> no_progress;
  EgressRules egress;
  model::Isolation isolation = model::Isolation::process;  // what a run is to have at least
  json::object document;
  std::string version;
};

// Errors: invalid (policy_invalid).
[[nodiscard]] base::Result<Policy> parse_policy(const json::object& document);

}  // namespace agentrouter::policy
