// What runs spend, and budgets over them.

#include "store/sqlite/columns.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/transaction.h"

namespace agentrouter::store {

namespace {

#define PERIOD_COLUMNS                                                                           \
  "SELECT scope, period, spent_tokens, spent_nano_usd, reserved_tokens, reserved_nano_usd FROM " \
  "budget_periods "

BudgetPeriod read_period(const Statement& row) {
  return {row.text(0), row.text(1), row.integer(2), row.integer(3), row.integer(4), row.integer(5)};
}

}  // namespace

std::optional<RunSpending> Rows::spending(const model::RunId& run) {
  auto statement = connection_.statement(
      "SELECT run_id, api_key, tokens, nano_usd, used FROM run_spending WHERE run_id = ?");
  statement.bind(run.str());
  return one(std::move(statement), [](const Statement& row) {
    return RunSpending{model::RunId(row.text(0)), row.text(1), row.integer(2), row.integer(3), row.text(4)};
  });
}

BudgetPeriod Rows::budget_period(std::string_view scope, std::string_view period) {
  auto statement = connection_.statement(PERIOD_COLUMNS "WHERE period = ? AND scope = ?");
  statement.bind(period).bind(scope);
  auto found = one(std::move(statement), read_period);
  return found ? std::move(*found) : BudgetPeriod{std::string(scope), std::string(period)};
}

std::vector<BudgetPeriod> Rows::budget_periods(std::string_view period) {
  auto statement = connection_.statement(PERIOD_COLUMNS "WHERE period = ? ORDER BY scope");
  statement.bind(period);
  return all(std::move(statement), read_period);
}

std::vector<AllowanceLot> Rows::allowance(const model::RunId& run) {
  auto statement = connection_.statement(
      "SELECT run_id, number, day, granted_tokens, granted_nano_usd, spent_tokens, spent_nano_usd "
      "FROM allowance_lots WHERE run_id = ? ORDER BY number");
  statement.bind(run.str());
  return all(std::move(statement), [](const Statement& row) {
    return AllowanceLot{model::RunId(row.text(0)),
                        static_cast<int>(row.integer(1)),
                        row.text(2),
                        row.integer(3),
                        row.integer(4),
                        row.integer(5),
                        row.integer(6)};
  });
}

void SqliteTransaction::put_spending(const RunSpending& spending) {
  auto statement = connection_.statement(
      "INSERT INTO run_spending (run_id, api_key, tokens, nano_usd, used) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (run_id) DO UPDATE SET api_key = excluded.api_key, tokens = excluded.tokens, "
      "nano_usd = excluded.nano_usd, used = excluded.used");
  statement.bind(spending.run_id.str()).bind(spending.api_key).bind(spending.tokens).bind(spending.nano_usd);
  statement.bind(spending.used).run();
}

void SqliteTransaction::put_budget_period(const BudgetPeriod& period) {
  auto statement = connection_.statement(
      "INSERT INTO budget_periods (period, scope, spent_tokens, spent_nano_usd, reserved_tokens, "
      "reserved_nano_usd) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (period, scope) DO UPDATE SET "
      "spent_tokens = excluded.spent_tokens, spent_nano_usd = excluded.spent_nano_usd, "
      "reserved_tokens = excluded.reserved_tokens, reserved_nano_usd = excluded.reserved_nano_usd");
  statement.bind(period.period).bind(period.scope).bind(period.spent_tokens).bind(period.spent_nano_usd);
  statement.bind(period.reserved_tokens).bind(period.reserved_nano_usd).run();
}

void SqliteTransaction::put_allowance_lot(const AllowanceLot& lot) {
  auto statement = connection_.statement(
      "INSERT INTO allowance_lots (run_id, number, day, granted_tokens, granted_nano_usd, spent_tokens, "
      "spent_nano_usd) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, number) DO UPDATE SET "
      "day = excluded.day, granted_tokens = excluded.granted_tokens, "
      "granted_nano_usd = excluded.granted_nano_usd, spent_tokens = excluded.spent_tokens, "
      "spent_nano_usd = excluded.spent_nano_usd");
  statement.bind(lot.run_id.str()).bind(std::int64_t{lot.number}).bind(lot.day);
  statement.bind(lot.granted_tokens).bind(lot.granted_nano_usd);
  statement.bind(lot.spent_tokens).bind(lot.spent_nano_usd).run();
}

void SqliteTransaction::delete_allowance(const model::RunId& run) {
  connection_.statement("DELETE FROM allowance_lots WHERE run_id = ?").bind(run.str()).run();
}

}  // namespace agentrouter::store
