#include "policy/budgets.h"

#include <algorithm>
#include <charconv>

namespace agentrouter::policy {

namespace {

bool is_set(const BudgetLimit& limit) {
  return limit.tokens || limit.cost;
}

std::string padded(unsigned number) {
  return number < 10 ? "0" + std::to_string(number) : std::to_string(number);
}

int number_in(std::string_view text, std::size_t from, std::size_t size) {
  int value = 0;
  if (text.size() >= from + size) std::from_chars(text.data() + from, text.data() + from + size, value);
  return value;
}

// What a budget lets one run have in one kind of amount.
std::int64_t part_of(std::int64_t limit, std::int64_t taken, std::int64_t at_a_time, std::int64_t needed) {
  const auto left = std::max<std::int64_t>(0, limit - taken);
  constexpr std::int64_t sharers = 4;
  const auto fair = std::min(at_a_time, (left + sharers - 1) / sharers);
  return std::min(left, std::max(fair, needed));
}

// One kind of amount of all lots at once.
template <std::int64_t Amount::*kind>
void spend_kind(std::vector<Lot>& lots, std::int64_t amount, std::vector<LotChange>& changes) {
  const auto add = [&](std::size_t i, std::int64_t spent, std::int64_t unreserved) {
    lots[i].spent.*kind += spent;
    changes[i].spent.*kind += spent;
    changes[i].unreserved.*kind += unreserved;
  };
  const auto over = [&](std::size_t i) {  // spent beyond what was granted
    return std::max<std::int64_t>(0, lots[i].spent.*kind - lots[i].granted.*kind);
  };
  if (amount < 0) {
    for (std::size_t i = lots.size(); i-- > 0 && amount < 0;) {
      const auto back = std::min(-amount, lots[i].spent.*kind);
      add(i, -back, -std::max<std::int64_t>(0, back - over(i)));
      amount += back;
    }
    return;
  }
  for (std::size_t i = 0; i < lots.size() && amount > 0; ++i) {
    const auto part =
        std::min(amount, std::max<std::int64_t>(0, lots[i].granted.*kind - lots[i].spent.*kind));
    add(i, part, part);
    amount -= part;
  }
  if (amount > 0) add(lots.size() - 1, amount, 0);
}

}  // namespace

bool BudgetRules::any() const {
  return is_set(workspace_day) || is_set(workspace_month) || is_set(key_day) || is_set(key_month);
}

bool BudgetRules::in_money() const {
  return workspace_day.cost || workspace_month.cost || key_day.cost || key_month.cost;
}

std::string day_of(base::Time time) {
  const std::chrono::year_month_day date(
      std::chrono::floor<std::chrono::days>(std::chrono::sys_time<std::chrono::milliseconds>(
          std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()))));
  return std::to_string(static_cast<int>(date.year())) + "-" + padded(static_cast<unsigned>(date.month())) +
         "-" + padded(static_cast<unsigned>(date.day()));
}

std::string month_of(std::string_view day) {
  return std::string(day.substr(0, 7));
}

base::Time end_of(std::string_view period) {
  using namespace std::chrono;
  const auto first = year(number_in(period, 0, 4)) / month(static_cast<unsigned>(number_in(period, 5, 2))) /
                     day(period.size() > 7 ? static_cast<unsigned>(number_in(period, 8, 2)) : 1u);
  const auto end = period.size() > 7 ? sys_days(first) + days(1) : sys_days(first + months(1));
  return base::Time(duration_cast<base::Time::duration>(end.time_since_epoch()));
}

bool BudgetState::exhausted() const {
  return (limit.tokens && spent.tokens >= *limit.tokens) || (limit.cost && spent.cost >= *limit.cost);
}

const BudgetState* exhausted(const std::vector<BudgetState>& budgets) {
  const auto found = std::ranges::find_if(budgets, [](const auto& one) { return one.exhausted(); });
  return found == budgets.end() ? nullptr : &*found;
}

Amount next_allowance(const std::vector<BudgetState>& budgets, const Amount& at_a_time,
                      const Amount& needed) {
  Amount most{unbounded, unbounded};
  for (const auto& one : budgets) {
    const auto taken = one.spent + one.reserved;
    if (one.limit.tokens) {
      most.tokens =
          std::min(most.tokens, part_of(*one.limit.tokens, taken.tokens, at_a_time.tokens, needed.tokens));
    }
    if (one.limit.cost)
      most.cost = std::min(most.cost, part_of(*one.limit.cost, taken.cost, at_a_time.cost, needed.cost));
  }
  return most;
}

std::vector<LotChange> spend(std::vector<Lot>& lots, const Amount& amount) {
  std::vector<LotChange> changes(lots.size());
  if (lots.empty()) return changes;
  for (std::size_t i = 0; i < changes.size(); ++i) changes[i].lot = i;
  spend_kind<&Amount::tokens>(lots, amount.tokens, changes);
  spend_kind<&Amount::cost>(lots, amount.cost, changes);
  return changes;
}

Amount unspent(const Lot& lot) {
  return {std::max<std::int64_t>(0, lot.granted.tokens - lot.spent.tokens),
          std::max<NanoUsd>(0, lot.granted.cost - lot.spent.cost)};
}

}  // namespace agentrouter::policy
