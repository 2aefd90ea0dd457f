#pragma once
// Limits of runs and budgets over them, as rules over the store. A run that is carried out holds an
// allowance: reserved in the day and the month of its workspace and of the key that asked for it. What its
// keeper settles moves from reserved to spent in the transaction that moves the journal's offset; what is
// left is given back in the one that ends the attempt. So each happens exactly once, whatever dies in
// between.

#include "policy/budgets.h"
#include "policy/run_limits.h"
#include "runs/claim.h"

namespace agentrouter::runs {

struct SpendingRules {
  policy::LimitRules limits = {};
  policy::BudgetRules budgets = {};
  policy::PriceTable prices = {};
  std::string codex_model = {};  // of runs that name none
  std::string claude_model = {};
};

// What a new run is to have: its limits are settled and written into its input, whoever asked is remembered.
// Call before insert_run; `before` is the turn that it goes on from.
//
// Errors: invalid (validation_error: a limit is looser than it may be; model_price_unknown, details {model}),
// exhausted (budget_exhausted, details {scope, name, window, period, unit, limit, spent, resetsAt,
// retryAfterSeconds}).
[[nodiscard]] base::Result<void> admit_spending(store::Transaction& tx, model::Run& run,
                                                const policy::RunLimits& asked, std::string_view api_key,
                                                const SpendingRules& rules, Context context,
                                                const model::Run* before = nullptr);

// The model that the run's agent is told to use.
[[nodiscard]] std::string model_of(const model::Run& run, const SpendingRules& rules);

struct Allowance {
  policy::Amount total;   // that the attempt may spend in all; unbounded in what no budget counts
  std::string exhausted;  // the budget that gives nothing more, in words; empty when there may be more
};
// What the run holds; nothing when no budget counts for it.
[[nodiscard]] std::optional<Allowance> allowance_of(store::Reader& reader, const model::RunId& run,
                                                    const SpendingRules& rules);
// Reserves more, unless the keeper does not yet know all that it has (`have` is less than that): then that is
// the answer. The first one of an attempt is asked for with nothing.
//
// Errors: those of check_fence.
[[nodiscard]] base::Result<std::optional<Allowance>> grow_allowance(
    store::Transaction& tx, const Fence& fence, const policy::Amount& have, const policy::Amount& needed,
    const SpendingRules& rules, Context context);

// A `spent` record of the journal.
struct Spent {
  policy::Amount amount;  // more, or less than was thought
  std::string used;       // JSON text
};
void spend(store::Transaction& tx, const model::RunId& run, const Spent& spent, base::Time now);
// The attempt is over: gives back what it still has reserved. Repeating it changes nothing.
void release_allowance(store::Transaction& tx, const model::RunId& run);
// The last word about what a run has used of its limits.
void note_used(store::Transaction& tx, const model::RunId& run, const std::string& used);

// The body of GET /v1/budgets: what is configured, spent and reserved now in the reader's workspace.
[[nodiscard]] std::string budgets_wire(store::Reader& reader, const SpendingRules& rules,
                                       std::string_view api_key, base::Time now);

}  // namespace agentrouter::runs
