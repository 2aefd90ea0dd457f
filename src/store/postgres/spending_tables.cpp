// What runs spend, and budgets over them.

#include "store/postgres/transaction.h"

namespace agentrouter::store::postgres {

namespace {

#define PG_PERIOD_COLUMNS                                                                        \
  "SELECT scope, period, spent_tokens, spent_nano_usd, reserved_tokens, reserved_nano_usd FROM " \
  "budget_periods "

BudgetPeriod read_period(const Cells& row) {
  return {row.text(0), row.text(1), row.integer(2), row.integer(3), row.integer(4), row.integer(5)};
}

RunSpending read_spending(const Cells& row) {
  return {model::RunId(row.text(0)), row.text(1), row.integer(2), row.integer(3), row.text(4)};
}

AllowanceLot read_lot(const Cells& row) {
  return {model::RunId(row.text(0)),
          static_cast<int>(row.integer(1)),
          row.text(2),
          row.integer(3),
          row.integer(4),
          row.integer(5),
          row.integer(6)};
}

}  // namespace

std::optional<RunSpending> Tables::spending(const model::RunId& run) {
  static constexpr Statement find{
      "spending", "SELECT run_id, api_key, tokens, nano_usd, used FROM run_spending WHERE run_id = $1"};
  return one(ask(find, run), read_spending);
}

BudgetPeriod Tables::budget_period(std::string_view scope, std::string_view period) {
  static constexpr Statement find{"budget_period", PG_PERIOD_COLUMNS "WHERE period = $1 AND scope = $2"};
  auto found = one(ask(find, period, scope), read_period);
  return found ? std::move(*found) : BudgetPeriod{std::string(scope), std::string(period)};
}

std::vector<BudgetPeriod> Tables::budget_periods(std::string_view period) {
  static constexpr Statement find{"budget_periods", PG_PERIOD_COLUMNS "WHERE period = $1 ORDER BY scope"};
  return all(ask(find, period), read_period);
}

std::vector<AllowanceLot> Tables::allowance(const model::RunId& run) {
  static constexpr Statement find{
      "allowance",
      "SELECT run_id, number, day, granted_tokens, granted_nano_usd, spent_tokens, spent_nano_usd "
      "FROM allowance_lots WHERE run_id = $1 ORDER BY number"};
  return all(ask(find, run), read_lot);
}

void PgTransaction::put_spending(const RunSpending& spending) {
  static constexpr Statement put{
      "put_spending",
      "INSERT INTO run_spending (run_id, api_key, tokens, nano_usd, used) VALUES ($1, $2, $3, $4, $5) "
      "ON CONFLICT (run_id) DO UPDATE SET api_key = excluded.api_key, tokens = excluded.tokens, "
      "nano_usd = excluded.nano_usd, used = excluded.used"};
  tell(put, spending.run_id, spending.api_key, spending.tokens, spending.nano_usd, spending.used);
}

void PgTransaction::put_budget_period(const BudgetPeriod& period) {
  static constexpr Statement put{
      "put_budget_period",
      "INSERT INTO budget_periods (period, scope, spent_tokens, spent_nano_usd, reserved_tokens, "
      "reserved_nano_usd) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (period, scope) DO UPDATE SET "
      "spent_tokens = excluded.spent_tokens, spent_nano_usd = excluded.spent_nano_usd, "
      "reserved_tokens = excluded.reserved_tokens, reserved_nano_usd = excluded.reserved_nano_usd"};
  tell(put, period.period, period.scope, period.spent_tokens, period.spent_nano_usd, period.reserved_tokens,
       period.reserved_nano_usd);
}

void PgTransaction::put_allowance_lot(const AllowanceLot& lot) {
  static constexpr Statement put{
      "put_allowance_lot",
      "INSERT INTO allowance_lots (run_id, number, day, granted_tokens, granted_nano_usd, spent_tokens, "
      "spent_nano_usd) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (run_id, number) DO UPDATE SET "
      "day = excluded.day, granted_tokens = excluded.granted_tokens, "
      "granted_nano_usd = excluded.granted_nano_usd, spent_tokens = excluded.spent_tokens, "
      "spent_nano_usd = excluded.spent_nano_usd"};
  tell(put, lot.run_id, lot.number, lot.day, lot.granted_tokens, lot.granted_nano_usd, lot.spent_tokens,
       lot.spent_nano_usd);
}

void PgTransaction::delete_allowance(const model::RunId& run) {
  static constexpr Statement remove{"delete_allowance", "DELETE FROM allowance_lots WHERE run_id = $1"};
  tell(remove, run);
}

}  // namespace agentrouter::store::postgres
