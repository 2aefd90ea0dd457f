#include "runs/budgets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runs/close.h"
#include "runs/create.h"
#include "runs/journal_commit.h"
#include "runs/options.h"
#include "testing/store_fixture.h"

namespace agentrouter::runs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* today = "2026-05-28";
constexpr const char* month = "2026-05";
constexpr std::chrono::hours a_day{24};

class BudgetsOverRuns : public ::testing::Test {
 protected:
  BudgetsOverRuns() {
    rules_.budgets.workspace_day.tokens = 1000;
    rules_.budgets.allowance = {400, 0};
    rules_.codex_model = "gpt-5.5";
  }

  base::Result<Created> create(const std::string& key = "key_a", policy::RunLimits limits = {}) {
    NewRun request{.input = R"({"task":"do"})", .task = "do", .limits = limits, .api_key = key};
    return db_.write([&](store::Transaction& tx) { return create_run(tx, request, context(), rules_); });
  }
  Fence claim() {
    return db_.write([&](store::Transaction& tx) { return claim_run(tx, {"worker_1"}, context()); })->fence();
  }
  std::optional<Allowance> grow(const Fence& fence, policy::Amount have = {}, policy::Amount needed = {}) {
    return db_
        .write([&](store::Transaction& tx) {
          return grow_allowance(tx, fence, have, needed, rules_, context());
        })
        .value();
  }
  void settle(const Fence& fence, std::int64_t tokens, std::int64_t from = 0) {
    JournalBatch batch{.from_offset = from, .to_offset = from + 10};
    batch.spendings.push_back({{tokens, 0}, R"({"tokens":1})"});
    EXPECT_TRUE(
        db_.write([&](store::Transaction& tx) { return commit_journal(tx, fence, batch, context()); }));
  }
  void close(const Fence& fence) {
    EXPECT_TRUE(db_.write(
        [&](store::Transaction& tx) { return fail_run(tx, fence, {"worker_failed", "", ""}, context()); }));
  }
  // "spent/reserved" in tokens.
  std::string budget(const std::string& period = today, const std::string& scope = "workspace:default") {
    const auto row = db_.read([&](store::Reader& reader) { return reader.budget_period(scope, period); });
    return std::to_string(row.spent_tokens) + "/" + std::to_string(row.reserved_tokens);
  }
  Context context() { return {db_.clock, db_.entropy}; }

  testing::StoreFixture db_;
  SpendingRules rules_;
};

TEST_F(BudgetsOverRuns, ARunReservesAPartAndGivesBackWhatItDidNotSpend) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  const auto allowance = grow(fence);
  EXPECT_EQ(allowance->total.tokens, 250);  // a fourth of what there is
  EXPECT_EQ(allowance->total.cost, policy::unbounded);
  EXPECT_EQ(budget(), "0/250");
  EXPECT_EQ(budget(month), "0/250");
  EXPECT_EQ(budget(today, "key:key_a"), "0/250");
  settle(fence, 100);
  EXPECT_EQ(budget(), "100/150");
  close(fence);
  EXPECT_EQ(budget(), "100/0");
}

TEST_F(BudgetsOverRuns, AnythingThatIsRepeatedHappensOnce) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  const auto first = grow(fence);
  EXPECT_EQ(grow(fence)->total, first->total);  // the keeper does not know yet what it has
  EXPECT_EQ(budget(), "0/250");
  settle(fence, 100);
  settle(fence, 100);  // the same piece of the journal
  EXPECT_EQ(budget(), "100/150");
  db_.reopen();
  close(fence);
  close(fence);
  EXPECT_EQ(budget(), "100/0");
}

TEST_F(BudgetsOverRuns, MoreIsReservedWhenTheKeeperAsks) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  const auto first = grow(fence)->total;
  const auto more = grow(fence, first, {300, 0})->total;
  EXPECT_EQ(more.tokens, 550);
  EXPECT_EQ(budget(), "0/550");
}

TEST_F(BudgetsOverRuns, CorrectionsGiveBack) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  grow(fence);
  settle(fence, 200);
  settle(fence, -150, 10);
  EXPECT_EQ(budget(), "50/200");
}

TEST_F(BudgetsOverRuns, WhatIsSpentBeyondTheAllowanceCounts) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  grow(fence);
  settle(fence, 700);
  EXPECT_EQ(budget(), "700/0");
  close(fence);
  EXPECT_EQ(budget(), "700/0");
}

TEST_F(BudgetsOverRuns, AUsedUpBudgetRefusesRunsAndSaysWhenItBeginsAnew) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  grow(fence);
  settle(fence, 1000);
  EXPECT_THAT(grow(fence, {250, policy::unbounded}, {10, 0})->exhausted, HasSubstr("the day 2026-05-28"));
  close(fence);
  const auto refused = create("key_b");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "budget_exhausted");
  EXPECT_THAT(refused.error().details, HasSubstr("\"resetsAt\":\"2026-05-29T00:00:00.000Z\""));
  db_.clock.advance(a_day);
  EXPECT_TRUE(create("key_b"));
}

TEST_F(BudgetsOverRuns, WhatOthersReservedIsNotUsedUp) {
  ASSERT_TRUE(create());
  ASSERT_TRUE(create());
  const auto first = claim();
  const auto second = claim();
  const auto all = grow(first, {}, {1000, 0});
  EXPECT_EQ(all->total.tokens, 1000);
  const auto none = grow(second, {}, {10, 0});
  EXPECT_EQ(none->total.tokens, 0);
  EXPECT_TRUE(none->exhausted.empty());
  close(first);
  EXPECT_EQ(grow(second, none->total, {10, 0})->total.tokens, 250);
}

TEST_F(BudgetsOverRuns, WhatTheRunCannotGetEverIsUsedUp) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  const auto some = grow(fence, {}, {900, 0});
  EXPECT_TRUE(some->exhausted.empty());
  EXPECT_FALSE(grow(fence, some->total, {500, 0})->exhausted.empty());
}

TEST_F(BudgetsOverRuns, AnAllowanceBelongsToTheDayInWhichItWasReserved) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  const auto first = grow(fence)->total;
  db_.clock.advance(a_day);
  grow(fence, first, {250, 0});
  settle(fence, 300);
  EXPECT_EQ(budget(), "250/0");
  EXPECT_EQ(budget("2026-05-29"), "50/200");
  EXPECT_EQ(budget(month), "300/200");
}

TEST_F(BudgetsOverRuns, KeysHaveBudgetsOfTheirOwn) {
  rules_.budgets = {};
  rules_.budgets.key_day.tokens = 100;
  ASSERT_TRUE(create("key_a"));
  const auto fence = claim();
  grow(fence);
  settle(fence, 100);
  close(fence);
  EXPECT_FALSE(create("key_a"));
  EXPECT_TRUE(create("key_b"));
}

TEST_F(BudgetsOverRuns, ALostAttemptGivesBackAndTheNextReservesAnew) {
  ASSERT_TRUE(create());
  const auto fence = claim();
  grow(fence);
  settle(fence, 30);
  const auto next = db_.write([&](store::Transaction& tx) {
    return start_next_attempt(tx, fence, {"worker_1"}, "attempt_lost", context());
  });
  EXPECT_EQ(budget(), "30/0");
  EXPECT_EQ(grow(next->fence())->total.tokens, 243);
}

TEST_F(BudgetsOverRuns, WithoutBudgetsWhatIsSpentIsStillCounted) {
  rules_.budgets = {};
  ASSERT_TRUE(create());
  const auto fence = claim();
  EXPECT_FALSE(grow(fence));
  settle(fence, 70);
  EXPECT_EQ(budget(), "70/0");
}

TEST_F(BudgetsOverRuns, AModelWithoutAPriceIsRefusedWhereMoneyIsLimited) {
  const auto refused = create("key_a", {.cost = 5});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "model_price_unknown");
  rules_.prices.put("gpt-*", {});
  EXPECT_TRUE(create("key_a", {.cost = 5}));
  rules_.prices = {};
  rules_.budgets.key_month.cost = 100;
  EXPECT_EQ(create().error().reason, "model_price_unknown");
}

TEST_F(BudgetsOverRuns, LimitsStandInTheInputOfTheRun) {
  rules_.limits.defaults.actions = 9;
  const auto created = create("key_a", {.tokens = 50});
  const auto limits = options_of(created->run.input).limits;
  EXPECT_EQ(limits.tokens, 50);
  EXPECT_EQ(limits.actions, 9);
}

TEST_F(BudgetsOverRuns, AreShownWithWhatIsSpentAndReserved) {
  rules_.budgets.key_month.cost = policy::nano_per_usd;
  rules_.prices.put("gpt-*", {});
  ASSERT_TRUE(create());
  const auto fence = claim();
  grow(fence);
  settle(fence, 100);
  const auto text =
      db_.read([&](store::Reader& reader) { return budgets_wire(reader, rules_, "key_a", db_.clock.now()); });
  EXPECT_THAT(text,
              HasSubstr(R"("scope":"workspace","name":"default","window":"day","period":"2026-05-28")"));
  EXPECT_THAT(text, HasSubstr(R"("limit":{"tokens":1000},"spent":{"tokens":100,)"));
  EXPECT_THAT(text, HasSubstr(R"("scope":"key","name":"key_a","window":"month","period":"2026-05")"));
}

TEST_F(BudgetsOverRuns, EachWorkspaceAndEachOfItsKeysHasItsOwn) {
  rules_.budgets.key_day.tokens = 1000;
  const std::string team = "infra";
  const auto create_in = [&] {
    NewRun request{.input = R"({"task":"do"})", .task = "do", .api_key = "key_a"};
    return db_.write_in(team,
                        [&](store::Transaction& tx) { return create_run(tx, request, context(), rules_); });
  };
  ASSERT_TRUE(create_in());
  const auto fence = claim();
  grow(fence);
  settle(fence, 1000);
  close(fence);
  EXPECT_EQ(budget(today, "workspace:infra"), "1000/0");
  EXPECT_EQ(budget(today, "key:infra/key_a"), "1000/0");
  EXPECT_EQ(budget(), "0/0");
  EXPECT_EQ(budget(today, "key:key_a"), "0/0");
  EXPECT_EQ(create_in().error().reason, "budget_exhausted");
  EXPECT_THAT(create_in().error().details, HasSubstr(R"("scope":"workspace","name":"infra")"));
  EXPECT_TRUE(create());
}

TEST_F(BudgetsOverRuns, OfOtherWorkspacesNothingIsShown) {
  rules_.budgets.key_day.tokens = 1000;
  const auto spend_in = [&](const std::string& workspace, const std::string& key) {
    NewRun request{.input = R"({"task":"do"})", .task = "do", .api_key = key};
    base::value_or_throw(db_.write_in(
        workspace, [&](store::Transaction& tx) { return create_run(tx, request, context(), rules_); }));
    const auto fence = claim();
    grow(fence);
    settle(fence, 7);
    close(fence);
  };
  spend_in("infra", "key_i");
  spend_in("infra", "key_j");
  spend_in("default", "key_d");
  const auto shown = [&](const std::string& workspace, std::string_view key) {
    return db_.read_in(
        workspace, [&](store::Reader& reader) { return budgets_wire(reader, rules_, key, db_.clock.now()); });
  };
  const auto infra = shown("infra", "key_i");
  EXPECT_THAT(infra, HasSubstr(R"("name":"infra")"));
  EXPECT_THAT(infra, HasSubstr(R"("name":"key_i")"));
  EXPECT_THAT(infra, HasSubstr(R"("name":"key_j")"));
  EXPECT_THAT(infra, Not(HasSubstr("key_d")));
  EXPECT_THAT(infra, Not(HasSubstr("default")));
  const auto usual = shown("default", "key_d");
  EXPECT_THAT(usual, Not(HasSubstr("infra")));
  EXPECT_THAT(usual, Not(HasSubstr("key_i")));
  EXPECT_THAT(shown("other", "key_x"), Not(HasSubstr("key_i")));
}

}  // namespace
}  // namespace agentrouter::runs
