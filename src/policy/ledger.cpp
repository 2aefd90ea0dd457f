#include "policy/ledger.h"

#include <algorithm>

namespace agentrouter::policy {

namespace {

PicoUsd output_price(const Demand& demand) {
  return demand.price != nullptr ? demand.price->output : 0;
}

Amount amount_for(const Demand& demand, std::int64_t input, std::int64_t output) {
  // Input costs at most its dearest kind.
  const auto dearest = demand.price ? std::max(demand.price->input, demand.price->cache_write) : 0;
  return {add_saturated(input, output),
          add_saturated(price_of(input, dearest), price_of(output, output_price(demand)))};
}

bool fits(const Amount& wanted, const Amount& left) {
  return wanted.tokens <= left.tokens && wanted.cost <= left.cost;
}

std::int64_t left_of(std::int64_t cap, std::int64_t taken) {
  return cap == unbounded ? unbounded : std::max<std::int64_t>(0, add_saturated(cap, -taken));
}

// How many tokens of output so much money buys.
std::int64_t affordable(NanoUsd money, PicoUsd each) {
  if (each <= 0) return unbounded;
  const auto count = static_cast<__int128>(std::max<NanoUsd>(money, 0)) * 1000 / each;
  return count > unbounded ? unbounded : static_cast<std::int64_t>(count);
}

}  // namespace

void Ledger::allow(const Amount& total) {
  if (!allowance_) allowance_ = total;
  allowance_->tokens = std::max(allowance_->tokens, total.tokens);
  allowance_->cost = std::max(allowance_->cost, total.cost);
}

Amount Ledger::left() const {
  const Amount most = allowance_.value_or(Amount{unbounded, unbounded});
  const auto taken = spent_ + reserved_;
  return {left_of(std::min(limits_.tokens, most.tokens), taken.tokens),
          left_of(std::min(limits_.cost, most.cost), taken.cost)};
}

// The run's own limits come first: more allowance would not help.
Bound Ledger::bound_of(const Amount& wanted) const {
  const auto taken = spent_ + reserved_;
  if (wanted.tokens > left_of(limits_.tokens, taken.tokens)) return Bound::tokens;
  if (wanted.cost > left_of(limits_.cost, taken.cost)) return Bound::cost;
  const bool tokens = allowance_ && wanted.tokens > left_of(allowance_->tokens, taken.tokens);
  return tokens ? Bound::allowance_tokens : Bound::allowance_cost;
}

Reply Ledger::reserve(const Demand& demand) {
  const auto room = left();
  const auto worst = amount_for(demand, demand.input_at_most, demand.output);
  if (fits(worst, room)) {
    reserved_ = reserved_ + worst;
    ++under_way_;
    return {.admission = Admission::granted, .reservation = {worst, demand.output, output_price(demand)}};
  }
  if (under_way_ > 0) return {.admission = Admission::wait};
  const auto least = amount_for(demand, demand.input, 1);
  if (!fits(least, room)) return {.admission = Admission::exceeded, .bound = bound_of(least)};
  const auto input = amount_for(demand, demand.input, 0);
  const auto output = std::min(
      {demand.output, room.tokens - input.tokens, affordable(room.cost - input.cost, output_price(demand))});
  // A cap that is not there has nothing to set aside.
  const auto whole = amount_for(demand, demand.input, output);
  const Amount all{std::max(whole.tokens, room.tokens == unbounded ? 0 : room.tokens),
                   std::max(whole.cost, room.cost == unbounded ? 0 : room.cost)};
  reserved_ = reserved_ + all;
  ++under_way_;
  return {.admission = Admission::granted, .reservation = {all, output, output_price(demand)}};
}

std::optional<Bound> Ledger::extend(Reservation& reservation, std::int64_t output) {
  const Amount more{output, price_of(output, reservation.output_price)};
  if (!fits(more, left())) return bound_of(more);
  reservation.amount = reservation.amount + more;
  reservation.output = add_saturated(reservation.output, output);
  reserved_ = reserved_ + more;
  return std::nullopt;
}

void Ledger::settle(const Reservation& reservation, const Amount& used) {
  reserved_ = reserved_ - reservation.amount;
  reserved_ = {std::max<std::int64_t>(reserved_.tokens, 0), std::max<NanoUsd>(reserved_.cost, 0)};
  spent_ = spent_ + Amount{std::max<std::int64_t>(used.tokens, 0), std::max<NanoUsd>(used.cost, 0)};
  if (under_way_ > 0) --under_way_;
}

}  // namespace agentrouter::policy
