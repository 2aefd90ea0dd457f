#include "runs/budgets.h"

#include <algorithm>
#include <array>

#include "runs/options.h"

namespace agentrouter::runs {

namespace {

using policy::Amount;
using policy::BudgetState;
using policy::Lot;

// For whom money is spent. A key's budget counts within the workspace: what is spent in another one is not
// seen.
struct Payer {
  std::string workspace;
  std::string api_key;

  [[nodiscard]] std::string workspace_scope() const { return "workspace:" + workspace; }
  // What the scopes of all keys of the workspace begin with.
  [[nodiscard]] std::string keys_scope() const {
    return workspace == model::default_workspace ? "key:" : "key:" + workspace + "/";
  }
  [[nodiscard]] std::string key_scope() const { return keys_scope() + api_key; }
};

Payer payer_of(store::Reader& reader, const store::RunSpending& spending) {
  auto workspace = reader.workspace_of(spending.run_id);
  if (workspace.empty()) workspace = model::default_workspace;
  return {std::move(workspace), spending.api_key};
}

BudgetState state_of(store::Reader& reader, std::string_view scope, const std::string& period,
                     const policy::BudgetLimit& limit) {
  const auto row = reader.budget_period(scope, period);
  return {.scope = std::string(scope),
          .period = period,
          .limit = limit,
          .spent = {row.spent_tokens, row.spent_nano_usd},
          .reserved = {row.reserved_tokens, row.reserved_nano_usd}};
}

// Those that count for this key's runs, and are configured.
std::vector<BudgetState> states_of(store::Reader& reader, const policy::BudgetRules& rules,
                                   const Payer& payer, const std::string& day) {
  const auto month = policy::month_of(day);
  const auto key = payer.key_scope();
  const auto workspace = payer.workspace_scope();
  std::vector<BudgetState> states;
  const auto add = [&](std::string_view scope, const std::string& period, const policy::BudgetLimit& limit) {
    if (limit.tokens || limit.cost) states.push_back(state_of(reader, scope, period, limit));
  };
  add(workspace, day, rules.workspace_day);
  add(workspace, month, rules.workspace_month);
  add(key, day, rules.key_day);
  add(key, month, rules.key_month);
  return states;
}

// Adds to the four periods that a lot of this day stands in.
void change_periods(store::Transaction& tx, const Payer& payer, const std::string& day, const Amount& spent,
                    const Amount& reserved) {
  if (spent == Amount() && reserved == Amount()) return;
  const std::array scopes{payer.workspace_scope(), payer.key_scope()};
  for (const auto& scope : scopes) {
    for (const auto& period : {day, policy::month_of(day)}) {
      auto row = tx.budget_period(scope, period);
      const auto add = [](std::int64_t& value, std::int64_t more) {
        value = std::max<std::int64_t>(0, policy::add_saturated(value, more));
      };
      add(row.spent_tokens, spent.tokens);
      add(row.spent_nano_usd, spent.cost);
      add(row.reserved_tokens, reserved.tokens);
      add(row.reserved_nano_usd, reserved.cost);
      tx.put_budget_period(row);
    }
  }
}

std::vector<Lot> lots_of(const std::vector<store::AllowanceLot>& rows) {
  std::vector<Lot> lots;
  for (const auto& row : rows) {
    lots.push_back(
        {row.day, {row.granted_tokens, row.granted_nano_usd}, {row.spent_tokens, row.spent_nano_usd}});
  }
  return lots;
}

Amount granted(const std::vector<store::AllowanceLot>& rows) {
  Amount sum;
  for (const auto& row : rows) sum = sum + Amount{row.granted_tokens, row.granted_nano_usd};
  return sum;
}

bool counts_tokens(const policy::BudgetRules& rules) {
  return rules.workspace_day.tokens || rules.workspace_month.tokens || rules.key_day.tokens ||
         rules.key_month.tokens;
}

// As the keeper sees it.
Amount opened(const Amount& amount, const policy::BudgetRules& rules) {
  return {counts_tokens(rules) ? amount.tokens : policy::unbounded,
          rules.in_money() ? amount.cost : policy::unbounded};
}

std::string_view kind_of(const BudgetState& state) {
  return state.period.size() > 7 ? "day" : "month";
}

std::pair<std::string, std::string> named(const BudgetState& state) {
  const auto colon = state.scope.find(':');
  const auto slash = state.scope.find('/', colon);
  return {state.scope.substr(0, colon), state.scope.substr((slash == std::string::npos ? colon : slash) + 1)};
}

// "the budget of workspace default for the day 2026-11-29 (1000 of 1000 tokens)"
std::string words_for(const BudgetState& state) {
  const auto [scope, name] = named(state);
  const bool tokens = state.limit.tokens && (!state.limit.cost || state.spent.tokens >= *state.limit.tokens);
  const auto figures =
      tokens ? std::to_string(state.spent.tokens) + " of " + std::to_string(*state.limit.tokens) + " tokens"
             : policy::usd_text(state.spent.cost) + " of " + policy::usd_text(state.limit.cost.value_or(0)) +
                   " USD";
  return "the budget of " + scope + " " + name + " for the " + std::string(kind_of(state)) + " " +
         state.period + " (" + figures + " spent)";
}

base::Error refusal(const BudgetState& state, base::Time now) {
  const auto [scope, name] = named(state);
  const auto left = std::chrono::ceil<std::chrono::seconds>(policy::end_of(state.period) - now);
  json::object details{{"scope", scope},
                       {"name", name},
                       {"window", kind_of(state)},
                       {"period", state.period},
                       {"resetsAt", base::to_iso(policy::end_of(state.period))},
                       {"retryAfterSeconds", std::max<std::int64_t>(left.count(), 1)}};
  const bool tokens = state.limit.tokens && state.spent.tokens >= *state.limit.tokens;
  details["unit"] = tokens ? "tokens" : "usd";
  if (tokens) {
    details["limit"] = *state.limit.tokens;
    details["spent"] = state.spent.tokens;
  } else {
    details["limit"] = policy::usd_of(state.limit.cost.value_or(0));
    details["spent"] = policy::usd_of(state.spent.cost);
  }
  return {
      base::Code::exhausted,
      "Used up: " + words_for(state) + ". It begins anew at " + base::to_iso(policy::end_of(state.period)),
      "budget_exhausted", base::to_text(details)};
}

base::Result<void> check_price(const model::Run& run, const policy::RunLimits& limits,
                               const SpendingRules& rules) {
  if (!limits.cost && !rules.budgets.in_money()) return {};
  const auto model = model_of(run, rules);
  if (rules.prices.find(model) != nullptr) return {};
  return base::fail(base::Code::invalid,
                    "the price of the model \"" + model + "\" is not configured ([prices.\"" + model +
                        "\"]), so no limit of cost can be kept",
                    "model_price_unknown", base::to_text(json::object{{"model", model}}));
}

}  // namespace

std::string model_of(const model::Run& run, const SpendingRules& rules) {
  const bool codex = run.runtime.kind == model::RuntimeKind::codex;
  return run.runtime.model.value_or(codex ? rules.codex_model : rules.claude_model);
}

base::Result<void> admit_spending(store::Transaction& tx, model::Run& run, const policy::RunLimits& asked,
                                  std::string_view api_key, const SpendingRules& rules, Context context,
                                  const model::Run* before) {
  std::optional<policy::RunLimits> earlier;
  if (before != nullptr) earlier = options_of(before->input).limits;
  AGENTROUTER_TRY(const auto limits, policy::settle_limits(asked, rules.limits, earlier));
  if (auto priced = check_price(run, limits, rules); !priced) return priced;
  const auto states = states_of(tx, rules.budgets, {run.workspace_id, std::string(api_key)},
                                policy::day_of(context.clock.now()));
  if (const auto* used_up = policy::exhausted(states))
    return tl::unexpected(refusal(*used_up, context.clock.now()));
  if (!limits.empty()) set_limits(run, limits);
  tx.put_spending({.run_id = run.id, .api_key = std::string(api_key)});
  return {};
}

std::optional<Allowance> allowance_of(store::Reader& reader, const model::RunId& run,
                                      const SpendingRules& rules) {
  const auto rows = reader.allowance(run);
  if (rows.empty()) return std::nullopt;
  return Allowance{opened(granted(rows), rules.budgets), {}};
}

base::Result<std::optional<Allowance>> grow_allowance(store::Transaction& tx, const Fence& fence,
                                                      const Amount& have, const Amount& needed,
                                                      const SpendingRules& rules, Context context) {
  AGENTROUTER_TRY(const auto attempt, check_fence(tx, fence));
  const auto& run = attempt.run_id;
  const auto rows = tx.allowance(run);
  if (!rules.budgets.any()) {
    return rows.empty() ? std::optional<Allowance>() : Allowance{{policy::unbounded, policy::unbounded}, {}};
  }
  const auto total = granted(rows);
  const auto shown = opened(total, rules.budgets);
  if (have.tokens < shown.tokens || have.cost < shown.cost) {
    if (!rows.empty()) return Allowance{shown, {}};
  }
  const auto payer = payer_of(tx, tx.spending(run).value_or(store::RunSpending{.run_id = run}));
  const auto day = policy::day_of(context.clock.now());
  const auto states = states_of(tx, rules.budgets, payer, day);
  auto next = policy::next_allowance(states, rules.budgets.allowance, needed);
  // Nothing is reserved where no budget counts.
  if (next.tokens == policy::unbounded) next.tokens = 0;
  if (next.cost == policy::unbounded) next.cost = 0;
  if (next != Amount() || rows.empty()) {
    tx.put_allowance_lot({.run_id = run,
                          .number = static_cast<int>(rows.size()) + 1,
                          .day = day,
                          .granted_tokens = next.tokens,
                          .granted_nano_usd = next.cost});
    change_periods(tx, payer, day, {}, next);
  }
  Amount own;
  for (const auto& lot : lots_of(rows)) own = own + policy::unspent(lot);
  Allowance allowance{opened(total + next, rules.budgets), {}};
  for (const auto& state : states) {
    // What others have reserved may come back; what this run needs beyond the rest never will.
    const bool tokens = state.limit.tokens && next.tokens < needed.tokens &&
                        state.reserved.tokens <= own.tokens &&
                        *state.limit.tokens - state.spent.tokens - state.reserved.tokens <= next.tokens;
    const bool cost = state.limit.cost && next.cost < needed.cost && state.reserved.cost <= own.cost &&
                      *state.limit.cost - state.spent.cost - state.reserved.cost <= next.cost;
    if (!state.exhausted() && !tokens && !cost) continue;
    allowance.exhausted = words_for(state);
    break;
  }
  return allowance;
}

void spend(store::Transaction& tx, const model::RunId& run, const Spent& spent, base::Time now) {
  auto row = tx.spending(run).value_or(store::RunSpending{.run_id = run});
  row.tokens = std::max<std::int64_t>(0, policy::add_saturated(row.tokens, spent.amount.tokens));
  row.nano_usd = std::max<std::int64_t>(0, policy::add_saturated(row.nano_usd, spent.amount.cost));
  row.used = spent.used;
  tx.put_spending(row);
  const auto rows = tx.allowance(run);
  const auto payer = payer_of(tx, row);
  if (rows.empty()) return change_periods(tx, payer, policy::day_of(now), spent.amount, {});
  auto lots = lots_of(rows);
  for (const auto& change : policy::spend(lots, spent.amount)) {
    if (change.spent == Amount()) continue;
    auto lot = rows[change.lot];
    lot.spent_tokens = lots[change.lot].spent.tokens;
    lot.spent_nano_usd = lots[change.lot].spent.cost;
    tx.put_allowance_lot(lot);
    change_periods(tx, payer, lot.day, change.spent, Amount() - change.unreserved);
  }
}

void release_allowance(store::Transaction& tx, const model::RunId& run) {
  const auto rows = tx.allowance(run);
  if (rows.empty()) return;
  const auto payer = payer_of(tx, tx.spending(run).value_or(store::RunSpending{.run_id = run}));
  for (const auto& lot : lots_of(rows))
    change_periods(tx, payer, lot.day, {}, Amount() - policy::unspent(lot));
  tx.delete_allowance(run);
}

void note_used(store::Transaction& tx, const model::RunId& run, const std::string& used) {
  if (used.empty()) return;
  auto row = tx.spending(run).value_or(store::RunSpending{.run_id = run});
  row.used = used;
  tx.put_spending(row);
}

namespace {

json::object amount_json(const Amount& amount) {
  return {{"tokens", amount.tokens}, {"costUsd", policy::usd_of(amount.cost)}};
}

json::object state_json(const BudgetState& state) {
  const auto [scope, name] = named(state);
  json::object limit;
  if (state.limit.tokens) limit["tokens"] = *state.limit.tokens;
  if (state.limit.cost) limit["costUsd"] = policy::usd_of(*state.limit.cost);
  return {{"scope", scope},
          {"name", name},
          {"window", kind_of(state)},
          {"period", state.period},
          {"resetsAt", base::to_iso(policy::end_of(state.period))},
          {"limit", std::move(limit)},
          {"spent", amount_json(state.spent)},
          {"reserved", amount_json(state.reserved)},
          {"exhausted", state.exhausted()}};
}

}  // namespace

std::string budgets_wire(store::Reader& reader, const SpendingRules& rules, std::string_view api_key,
                         base::Time now) {
  const auto day = policy::day_of(now);
  const Payer payer{reader.home(), std::string(api_key)};
  std::vector<std::string> keys{payer.api_key};
  // Keys that have spent in the month, also earlier ones.
  const auto begin = payer.keys_scope();
  for (const auto& row : reader.budget_periods(policy::month_of(day))) {
    if (!row.scope.starts_with(begin) || row.scope.find('/', begin.size()) != std::string::npos) continue;
    const auto name = row.scope.substr(begin.size());
    if (std::ranges::find(keys, name) == keys.end()) keys.push_back(name);
  }
  json::array items;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (const auto& state : states_of(reader, rules.budgets, {payer.workspace, keys[i]}, day)) {
      if (i == 0 || state.scope != payer.workspace_scope()) items.push_back(state_json(state));
    }
  }
  return base::to_text(json::object{{"items", std::move(items)}});
}

}  // namespace agentrouter::runs
