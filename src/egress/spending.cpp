#include "egress/spending.h"

#include <algorithm>

namespace agentrouter::egress {

namespace {

using policy::Admission;
using policy::Amount;
using policy::Bound;

// How much more room is asked for when an answer passes what was set aside for it.
constexpr std::int64_t more_output = 256;
constexpr std::int64_t largest_answer = 1'000'000;

std::string_view name_of(Bound bound) {
  switch (bound) {
    case Bound::tokens:
      return "maxTokens";
    case Bound::cost:
      return "maxCostUsd";
    case Bound::allowance_tokens:
    case Bound::allowance_cost:
      break;
  }
  return "budget";
}

}  // namespace

Spending::Spending(base::Executor executor, SpendingRules rules, SpendingObserver& observer)
    : rules_(std::move(rules)), observer_(observer), ledger_(rules_.limits), changed_(executor) {
  if (!rules_.allowance) return;
  ledger_.allow(*rules_.allowance);
  chunk_ = *rules_.allowance;
  asked_at_ = {-1, -1};
}

bool Spending::binds() const {
  return rules_.allowance || rules_.limits.tokens != policy::unbounded ||
         rules_.limits.cost != policy::unbounded;
}

bool Spending::needs_prices() const {
  return rules_.limits.cost != policy::unbounded ||
         (rules_.allowance && rules_.allowance->cost != policy::unbounded);
}

std::optional<policy::NanoUsd> Spending::cost() const {
  if (unpriced_ || !any_) return std::nullopt;
  return ledger_.spent().cost;
}

policy::Demand Spending::demand_of(const RequestFacts& facts, const policy::Price* price) const {
  auto output = std::min(facts.max_output.value_or(largest_answer), largest_answer);
  if (price != nullptr && price->max_output_tokens > 0) output = std::min(output, price->max_output_tokens);
  return {.input = policy::estimated_input(facts.size),
          .input_at_most = policy::most_input(facts.size),
          .output = output,
          .price = price};
}

Task<Result<std::unique_ptr<Spending::Metering>>> Spending::admit(RequestFacts facts) {
  if (end_) co_return base::fail(base::Code::denied, end_->reason, end_->code);
  const auto* price = rules_.prices.find(facts.model);
  if (price == nullptr && needs_prices() && !facts.only_counts) {
    co_return tl::unexpected(end("model_price_unknown", "",
                                 "The agent asked for the model \"" + facts.model +
                                     "\", whose price is not configured, under a limit of cost"));
  }
  policy::Reservation reservation;
  if (binds() && !facts.only_counts) {
    auto reserved = co_await reserve(demand_of(facts, price));
    if (!reserved) co_return tl::unexpected(std::move(reserved).error());
    reservation = *reserved;
  }
  co_return std::make_unique<Metering>(*this, std::move(facts), reservation);
}

Task<Result<policy::Reservation>> Spending::reserve(const policy::Demand& demand) {
  const auto deadline = base::after(rules_.hold);
  const Amount least{demand.input + 1, demand.price ? policy::price_of(demand.input, demand.price->input) +
                                                          policy::price_of(1, demand.price->output)
                                                    : 0};
  for (;;) {
    if (end_) co_return base::fail(base::Code::denied, end_->reason, end_->code);
    const auto reply = ledger_.reserve(demand);
    if (reply.admission == Admission::granted) {
      ask_at_half(least);
      co_return reply.reservation;
    }
    if (reply.admission == Admission::wait) {
      co_await changed_.wait();
      continue;
    }
    const bool wants_more = reply.bound == Bound::allowance_tokens || reply.bound == Bound::allowance_cost;
    if (!wants_more) co_return tl::unexpected(end_at(reply.bound));
    const bool had = co_await more_allowance(least, deadline);
    if (!had) co_return tl::unexpected(end_at(reply.bound));
  }
}

// False when there will be no more, or nobody gave any in time.
Task<bool> Spending::more_allowance(const Amount& needed, base::Deadline deadline) {
  if (!exhausted_.empty() || base::passed(deadline)) co_return false;
  observer_.on_need(*ledger_.allowance(), needed);
  std::ignore = co_await changed_.wait_until(deadline);
  co_return true;
}

// Early enough that nobody has to wait for the answer. The worst case that is set aside does not count: it
// rarely comes, and others want their part of the budgets.
void Spending::ask_at_half(const Amount& needed) {
  const auto& have = ledger_.allowance();
  if (!have || *have == asked_at_) return;
  const auto taken = ledger_.spent() + needed;
  const auto low = [](std::int64_t all, std::int64_t used, std::int64_t chunk) {
    return all != policy::unbounded && all - used < (chunk + 1) / 2;
  };
  if (!low(have->tokens, taken.tokens, chunk_.tokens) && !low(have->cost, taken.cost, chunk_.cost)) return;
  asked_at_ = *have;
  observer_.on_need(*have, needed);
}

void Spending::grant(const Amount& total, const std::string& exhausted) {
  if (!ledger_.allowance()) return;
  const auto before = *ledger_.allowance();
  ledger_.allow(total);
  const auto& now = *ledger_.allowance();
  if (now != before) {
    chunk_ = now - before;
    exhausted_.clear();
  } else {
    exhausted_ = exhausted;
  }
  changed_.notify();
}

base::Error Spending::end(std::string_view code, std::string_view limit, std::string reason) {
  if (!end_) {
    end_ = SpendingEnd{std::string(code), std::string(limit), std::move(reason)};
    observer_.on_end(*end_);
    changed_.notify();
  }
  return {base::Code::denied, end_->reason, end_->code};
}

base::Error Spending::end_at(Bound bound) {
  const auto& spent = ledger_.spent();
  std::string reason;
  if (bound == Bound::tokens) {
    reason = "The next request does not fit into maxTokens: " + std::to_string(spent.tokens) + " of " +
             std::to_string(rules_.limits.tokens) + " tokens are spent";
  } else if (bound == Bound::cost) {
    reason = "The next request does not fit into maxCostUsd: " + policy::usd_text(spent.cost) + " of " +
             policy::usd_text(rules_.limits.cost) + " USD are spent";
  } else if (!exhausted_.empty()) {
    reason = "A budget is used up: " + exhausted_;
  } else {
    reason = "The budgets over runs gave this run no more in time";
  }
  return end("limit_exceeded", name_of(bound), std::move(reason));
}

Spending::Metering::Metering(Spending& spending, RequestFacts facts, policy::Reservation reservation)
    : spending_(spending), facts_(std::move(facts)), reservation_(reservation) {
  if (const auto* price = spending_.rules_.prices.find(facts_.model)) price_ = *price;
}

Spending::Metering::~Metering() {
  if (facts_.only_counts) return;
  const bool reserves = spending_.binds();
  Amount used;
  if (left_) {
    const bool charged = status_ < 300;
    if (charged) used = policy::amount_of(settlement().used, price());
    spending_.any_ = spending_.any_ || charged;
    spending_.unpriced_ = spending_.unpriced_ || (charged && !price_);
    std::ignore = spending_.observer_.on_spent(used - upfront_);
  }
  // Without reservations settle() only adds.
  spending_.ledger_.settle(reserves ? reservation_ : policy::Reservation{}, used);
  spending_.changed_.notify();
}

bool Spending::Metering::leaves() {
  if (facts_.only_counts || left_) return true;
  const policy::Used estimate{.input = policy::estimated_input(facts_.size)};
  upfront_ = policy::amount_of(estimate, price());
  left_ = spending_.observer_.on_spent(upfront_);
  return left_;
}

bool Spending::Metering::receives(const UsageMeter& meter) {
  text_bytes_ = meter.text_bytes();
  usage_ = meter.usage();
  if (!spending_.binds() || facts_.only_counts) return true;
  const auto counted = policy::estimated_output(text_bytes_);
  if (counted > reservation_.output / 2) {
    const Amount rest{reservation_.output, policy::price_of(reservation_.output, reservation_.output_price)};
    spending_.ask_at_half(rest);
  }
  if (counted <= reservation_.output) return true;
  const auto bound = spending_.ledger_.extend(reservation_, counted - reservation_.output + more_output);
  if (bound) std::ignore = spending_.end_at(*bound);
  return !bound;
}

void Spending::Metering::answered(int status, const std::optional<Usage>& usage) {
  status_ = status;
  usage_ = usage;
}

std::int64_t Spending::Metering::most_output() const {
  auto most = facts_.max_output.value_or(policy::unbounded);
  if (price_ && price_->max_output_tokens > 0) most = std::min(most, price_->max_output_tokens);
  return most;
}

policy::Settlement Spending::Metering::settlement() const {
  return policy::settle_usage(report_of(usage_, facts_.anthropic), facts_.size, text_bytes_, most_output());
}

}  // namespace agentrouter::egress
