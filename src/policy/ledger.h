#pragma once
// What a run has spent and has set aside for requests that are under way, against its own limits and the
// allowance that it was given. Spending never passes what there is by more than one answer:
//
//   - a request whose worst case fits is let go, with its worst case set aside;
//   - one that may not fit is let go only when no other is under way and its estimate does; it gets all that
//     is left, and the others wait for it.

#include "policy/spending.h"

namespace agentrouter::policy {

// A request before it leaves.
struct Demand {
  std::int64_t input = 0;          // tokens, estimated
  std::int64_t input_at_most = 0;  // tokens that it cannot pass
  std::int64_t output = 0;         // tokens: the smaller of the request's and the model's maximum
  const Price* price = nullptr;    // none: costs nothing. Only looked at during the call
};

enum class Bound { tokens, cost, allowance_tokens, allowance_cost };

enum class Admission {
  granted,
  wait,      // until another request is settled
  exceeded,  // not even its estimate fits, and nothing is under way
};

struct Reservation {
  Amount amount;
  std::int64_t output = 0;  // tokens of output that it has room for
  PicoUsd output_price = 0;
};

struct Reply {
  Admission admission = Admission::exceeded;
  Reservation reservation = {};  // of granted
  Bound bound = Bound::tokens;   // of exceeded: what does not fit
};

struct Caps {
  std::int64_t tokens = unbounded;
  NanoUsd cost = unbounded;
};

class Ledger {
 public:
  explicit Ledger(const Caps& limits = {}) : limits_(limits) {}

  // From now on so much may be spent in all (not more). Less than before changes nothing.
  void allow(const Amount& total);

  [[nodiscard]] Reply reserve(const Demand& demand);
  // Room for so many more tokens of output; what stands against it when there is none.
  [[nodiscard]] std::optional<Bound> extend(Reservation& reservation, std::int64_t output);
  // The request has ended and used this. Reservations are given back once each.
  void settle(const Reservation& reservation, const Amount& used);

  [[nodiscard]] const Amount& spent() const { return spent_; }
  [[nodiscard]] const Amount& reserved() const { return reserved_; }
  [[nodiscard]] std::size_t under_way() const { return under_way_; }
  [[nodiscard]] const std::optional<Amount>& allowance() const { return allowance_; }
  [[nodiscard]] const Caps& limits() const { return limits_; }

 private:
  [[nodiscard]] Amount left() const;
  [[nodiscard]] Bound bound_of(const Amount& wanted) const;

  Caps limits_;
  std::optional<Amount> allowance_;
  Amount spent_;
  Amount reserved_;
  std::size_t under_way_ = 0;
};

}  // namespace agentrouter::policy
