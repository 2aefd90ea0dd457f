#pragma once
// "Approve the rest like this": a person decides in advance about later questions of one run, with one rule of
// the policy language (docs/policies.md). A question that matches is decided in the transaction that asks it,
// as if that person had answered: same event, same digest, same chain. A rule never reaches what a policy
// denies, because that is no question, nor the launch, nor what is not understood. It ends with its run: later
// turns have none.

#include "runs/decide.h"

namespace agentrouter::runs {

inline constexpr std::size_t most_standing_rules = 50;

struct NewStandingRule {
  model::RunId run;
  Decision decision = Decision::denied;
  json::object rule;      // keys of a policy's rule without id, verdict and reason; at least one
  std::string reason;     // trimmed; empty for none
  std::string given_by;   // names the key that the person used
  std::string idempotency_key = {};  // as the client sent it; empty for none
};

struct GivenRule {
  store::StandingRule rule;
  int decided = 0;  // questions that waited already and match
  bool replayed = false;
};

// From now on, and for what waits already. Its event is approval.rule_given.
//
// Errors: not_found (run_not_found), conflict (run_not_active, standing_rule_limit, idempotency_conflict), invalid
// (policy_invalid).
[[nodiscard]] base::Result<GivenRule> give_rule(store::Transaction& tx, const NewStandingRule& request,
                                                Context context);

// It decides nothing any more; what it has decided stays. Its event is approval.rule_withdrawn. Repeating it
// changes nothing.
//
// Errors: not_found (run_not_found, standing_rule_not_found), conflict (run_not_active).
[[nodiscard]] base::Result<store::StandingRule> withdraw_rule(store::Transaction& tx, const model::RunId& run,
                                                              std::string_view id, std::string_view by,
                                                              Context context);

// All of the run, with the withdrawn ones. Errors: not_found (run_not_found).
[[nodiscard]] base::Result<std::vector<store::StandingRule>> standing_rules(store::Reader& reader,
                                                                            const model::RunId& run);

// Decides a pending question by the run's rules, those that deny first. False when none matches, or when the
// stored question is not whole: its body must have the digest that was asked about.
bool decide_by_rule(store::Transaction& tx, const model::Run& run, const store::Approval& approval,
                    Context context);

// The StandingRule of the wire.
[[nodiscard]] std::string to_wire(const store::StandingRule& rule);

}  // namespace agentrouter::runs
