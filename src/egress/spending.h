#pragma once
// Money and tokens at the way out: no request to a model provider leaves unless the worst that it may use
// fits into what there is (policy/ledger.h), an answer that passes it is cut, and what was used is settled.

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/asio.h"
#include "base/event.h"
#include "egress/request_facts.h"
#include "policy/ledger.h"

namespace agentrouter::egress {

using base::Result;
using base::Task;

// What ends a run for its spending.
struct SpendingEnd {
  std::string code;    // limit_exceeded, model_price_unknown
  std::string limit;   // maxTokens, maxCostUsd, budget; empty for an unknown price
  std::string reason;  // a sentence
};

// Told of everything, on the executor. Must not throw.
class SpendingObserver {
 public:
  virtual ~SpendingObserver() = default;
  // So much more (or less, when an estimate was too high) is spent. False when it could not be written down:
  // then nothing leaves.
  virtual bool on_spent(const policy::Amount& delta) = 0;
  // Nothing leaves any more. Once.
  virtual void on_end(const SpendingEnd& end) = 0;
  // More allowance is wanted than `have` in all: at least so much more at once.
  virtual void on_need(const policy::Amount& have, const policy::Amount& needed) = 0;
};

struct SpendingRules {
  policy::Caps limits;
  std::optional<policy::Amount> allowance;  // of budgets over runs; unbounded in what no budget counts
  policy::PriceTable prices;
  std::chrono::milliseconds hold{60'000};  // how long a request waits for more allowance
};

// The spending of one run. Outlives its egress; belongs to one executor.
class Spending {
 public:
  class Metering;

  // `observer` outlives it.
  Spending(base::Executor executor, SpendingRules rules, SpendingObserver& observer);

  // Whether a request that is not understood must not leave.
  [[nodiscard]] bool binds() const;
  // Whether bodies are looked at at all.
  [[nodiscard]] bool reads_bodies() const { return binds() || !rules_.prices.empty(); }

  // Waits for others, and for more allowance. The request may leave as long as the metering is held.
  //
  // Errors: denied with reason limit_exceeded or model_price_unknown.
  [[nodiscard]] Task<Result<std::unique_ptr<Metering>>> admit(RequestFacts facts);

  // So much may be spent in all; `exhausted` names the budget that gives nothing more, or is empty.
  void grant(const policy::Amount& total, const std::string& exhausted);

  [[nodiscard]] const policy::Ledger& ledger() const { return ledger_; }
  // What its requests have cost; nothing when the price of one is not known.
  [[nodiscard]] std::optional<policy::NanoUsd> cost() const;

 private:
  [[nodiscard]] bool needs_prices() const;
  [[nodiscard]] policy::Demand demand_of(const RequestFacts& facts, const policy::Price* price) const;
  Task<Result<policy::Reservation>> reserve(const policy::Demand& demand);
  Task<bool> more_allowance(const policy::Amount& needed, base::Deadline deadline);
  void ask_at_half(const policy::Amount& needed);
  base::Error end(std::string_view code, std::string_view limit, std::string reason);
  base::Error end_at(policy::Bound bound);

  SpendingRules rules_;
  SpendingObserver& observer_;
  policy::Ledger ledger_;
  policy::Amount chunk_;     // the last part of the allowance
  policy::Amount asked_at_;  // what there was when more was asked for
  std::string exhausted_;
  std::optional<SpendingEnd> end_;
  bool unpriced_ = false;
  bool any_ = false;
  base::Event changed_;
};

// One request. Settles when it is destroyed: by the last word that it was given.
class Spending::Metering {
 public:
  Metering(Spending& spending, RequestFacts facts, policy::Reservation reservation);
  Metering(const Metering&) = delete;
  Metering& operator=(const Metering&) = delete;
  ~Metering();

  // The request leaves: its estimated input is spent from now on. False: it must not.
  [[nodiscard]] bool leaves();
  // After each piece of the answer; false: it has to be cut.
  [[nodiscard]] bool receives(const UsageMeter& meter);
  // The answer's status, and what it reported so far. A refusal costs nothing.
  void answered(int status, const std::optional<Usage>& usage);

  // How far the report was believed; nothing before the end, or without an answer to charge for.
  [[nodiscard]] policy::Settlement settlement() const;

 private:
  [[nodiscard]] const policy::Price* price() const { return price_ ? &*price_ : nullptr; }
  [[nodiscard]] std::int64_t most_output() const;

  Spending& spending_;
  RequestFacts facts_;
  policy::Reservation reservation_;
  std::optional<policy::Price> price_;
  policy::Amount upfront_;
  bool left_ = false;
  int status_ = 0;
  std::optional<Usage> usage_;
  std::int64_t text_bytes_ = 0;
};

}  // namespace agentrouter::egress
