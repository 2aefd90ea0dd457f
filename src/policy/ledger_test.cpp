#include "policy/ledger.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace agentrouter::policy {
namespace {

constexpr Price dear{
    .input = 1'000'000, .cached_input = 100'000, .output = 10'000'000, .max_output_tokens = 1000};

Demand small(std::int64_t input = 10, std::int64_t output = 20) {
  return {.input = input, .input_at_most = input * 4, .output = output};
}

TEST(Ledger, SetsAsideTheWorstCaseAndGivesBackWhatWasNotUsed) {
  Ledger ledger({.tokens = 1000});
  const auto reply = ledger.reserve(small());
  ASSERT_EQ(Admission::granted, reply.admission);
  EXPECT_EQ(60, ledger.reserved().tokens);
  ledger.settle(reply.reservation, {.tokens = 25});
  EXPECT_EQ(0, ledger.reserved().tokens);
  EXPECT_EQ(25, ledger.spent().tokens);
}

TEST(Ledger, RequestsInFlightShareWhatIsLeft) {
  Ledger ledger({.tokens = 130});
  const auto first = ledger.reserve(small());
  const auto second = ledger.reserve(small());
  ASSERT_EQ(Admission::granted, second.admission);
  EXPECT_EQ(Admission::wait, ledger.reserve(small()).admission);
  ledger.settle(first.reservation, {.tokens = 30});
  EXPECT_EQ(Admission::wait, ledger.reserve(small()).admission);  // 40 left beside the second
  ledger.settle(second.reservation, {.tokens = 30});
  EXPECT_EQ(Admission::granted, ledger.reserve(small()).admission);
}

TEST(Ledger, TheLastRequestGetsAllThatIsLeftAndNoOtherBesideIt) {
  Ledger ledger({.tokens = 50});
  const auto last = ledger.reserve(small(10, 1000));
  ASSERT_EQ(Admission::granted, last.admission);
  EXPECT_EQ(40, last.reservation.output);
  EXPECT_EQ(50, ledger.reserved().tokens);
  EXPECT_EQ(Admission::wait, ledger.reserve(small(1, 1)).admission);
}

TEST(Ledger, MoneyBuysAsMuchOutputAsItIsWorth) {
  Ledger ledger({.cost = 10'000 + 50 * 10'000});  // 10 tokens of input, 50 of output
  const Demand demand{.input = 10, .input_at_most = 1000, .output = 1000, .price = &dear};
  const auto reply = ledger.reserve(demand);
  ASSERT_EQ(Admission::granted, reply.admission);
  EXPECT_EQ(50, reply.reservation.output);
}

TEST(Ledger, SaysWhichLimitARequestDoesNotFitInto) {
  Ledger tokens({.tokens = 5});
  EXPECT_EQ(Bound::tokens, tokens.reserve(small()).bound);
  Ledger money({.tokens = 1000, .cost = 10});
  EXPECT_EQ(Bound::cost,
            money.reserve({.input = 10, .input_at_most = 40, .output = 1, .price = &dear}).bound);
  Ledger allowance({.tokens = 1000});
  allowance.allow({5, unbounded});
  const auto reply = allowance.reserve(small());
  EXPECT_EQ(Admission::exceeded, reply.admission);
  EXPECT_EQ(Bound::allowance_tokens, reply.bound);
  allowance.allow({500, unbounded});
  EXPECT_EQ(Admission::granted, allowance.reserve(small()).admission);
  allowance.allow({1, 1});  // a total that is less takes nothing away
  EXPECT_EQ(500, allowance.allowance()->tokens);
}

TEST(Ledger, ALongerAnswerGetsMoreRoomAsLongAsThereIsSome) {
  Ledger ledger({.tokens = 100});
  auto reply = ledger.reserve(small(10, 20));
  EXPECT_FALSE(ledger.extend(reply.reservation, 30));
  EXPECT_EQ(50, reply.reservation.output);
  EXPECT_EQ(Bound::tokens, ledger.extend(reply.reservation, 30));
  ledger.settle(reply.reservation, {.tokens = 60});
  EXPECT_EQ(0, ledger.reserved().tokens);
}

// Whatever is asked for and used, in whatever order: nothing below zero, nothing left reserved at the end,
// and no more spent than the limits and what one answer has beyond its room.
TEST(Ledger, NeverPassesItsLimitsByMoreThanOneAnswer) {
  std::mt19937_64 random(20261129);
  const auto pick = [&](std::int64_t most) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most + 1));
  };
  for (int round = 0; round < 3000; ++round) {
    const Caps caps{.tokens = pick(3) == 0 ? unbounded : pick(20'000),
                    .cost = pick(3) == 0 ? unbounded : pick(200'000'000)};
    Ledger ledger(caps);
    if (pick(1) == 0) ledger.allow({pick(20'000), pick(200'000'000)});
    struct Open {
      Reservation reservation;
      Demand demand;
    };
    std::vector<Open> open;
    Amount largest_answer;
    for (int step = 0; step < 60; ++step) {
      if (pick(2) != 0) {
        Demand demand{.input = pick(500), .output = 1 + pick(999), .price = &dear};
        demand.input_at_most = demand.input + pick(1500);
        const auto reply = ledger.reserve(demand);
        if (reply.admission == Admission::granted) open.push_back({reply.reservation, demand});
        if (reply.admission == Admission::wait) EXPECT_FALSE(open.empty());
        if (reply.admission == Admission::exceeded) EXPECT_TRUE(open.empty());
      } else if (!open.empty()) {
        const auto i = static_cast<std::size_t>(pick(static_cast<std::int64_t>(open.size()) - 1));
        const auto& demand = open[i].demand;
        // As much as this request can use at all.
        const Used used{.input = pick(demand.input_at_most), .output = pick(demand.output)};
        const auto amount = amount_of(used, &dear);
        largest_answer.tokens = std::max(largest_answer.tokens, amount.tokens);
        largest_answer.cost = std::max(largest_answer.cost, amount.cost);
        ledger.settle(open[i].reservation, amount);
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
      }
      EXPECT_GE(ledger.reserved().tokens, 0);
      EXPECT_GE(ledger.reserved().cost, 0);
      const auto most = ledger.allowance().value_or(Amount{unbounded, unbounded});
      const auto cap_tokens = std::min(caps.tokens, most.tokens);
      const auto cap_cost = std::min(caps.cost, most.cost);
      EXPECT_LE(ledger.spent().tokens, add_saturated(cap_tokens, largest_answer.tokens));
      EXPECT_LE(ledger.spent().cost, add_saturated(cap_cost, largest_answer.cost));
      if (cap_tokens != unbounded && open.size() > 1)
        EXPECT_LE(ledger.spent().tokens + ledger.reserved().tokens, cap_tokens + largest_answer.tokens);
    }
    for (const auto& one : open) ledger.settle(one.reservation, {});
    EXPECT_EQ(Amount(), ledger.reserved());
    EXPECT_EQ(0u, ledger.under_way());
  }
}

}  // namespace
}  // namespace agentrouter::policy
