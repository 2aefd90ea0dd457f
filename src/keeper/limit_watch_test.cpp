// What a run uses against its limits, and how it ends at one.

#include "keeper/limit_watch.h"

#include "keeper/keeper_fixture_test.h"
#include "keeper/resources.h"

namespace agentrouter::keeper {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RecentKills, OneThatWasBeforeTheAgentsEndIsNotItsEnd) {
  const base::Deadline start{};
  RecentKills kills;
  kills.begin(start, 3);
  EXPECT_FALSE(kills.are_more(3)) << "of an earlier turn";
  EXPECT_TRUE(kills.are_more(4));
  kills.look(start + 500ms, 4);
  EXPECT_TRUE(kills.are_more(4)) << "not yet due";
  EXPECT_EQ(kills.next_look(), start + 1s);
  kills.look(start + 1s, 4);
  EXPECT_TRUE(kills.are_more(4)) << "its process may not have ended yet";
  kills.look(start + 2s, 4);
  EXPECT_FALSE(kills.are_more(4));
  EXPECT_TRUE(kills.are_more(5));
}

class LimitTest : public KeeperTest {
 protected:
  LimitTest() { plan_.approval_mode = model::ApprovalMode::automatic; }

  std::vector<std::string> warnings() const {
    std::vector<std::string> all;
    for (const auto& payload : payloads("limit.warning")) {
      all.push_back(std::string(base::get_string(payload, "limit").value_or("")) + " " +
                    std::to_string(base::get_int(payload, "percent").value_or(0)));
    }
    return all;
  }
  std::string exceeded() const {
    const auto all = payloads("limit.exceeded");
    return all.size() == 1 ? std::string(base::get_string(all[0], "limit").value_or("")) : "not once";
  }
  std::string cause() const {
    const auto* failure = base::get_object(exit(), "failure");
    return failure ? std::string(base::get_string(*failure, "cause").value_or("")) : "none";
  }
  // Tokens through the keeper's own observer, as the egress settles them.
  void spends(std::vector<policy::Amount> amounts) {
    Recorder recorder(
        base::value_or_throw(Journal::create(
            open_journal_file(base::Fd(::openat(dir_.get(), "journal", O_WRONLY | O_CREAT, 0600))), clock_)),
        clock_, entropy_, nothing_hidden_, model::EventSource::codex);
    LimitWatch watch(recorder, plan_.spending);
    for (const auto& amount : amounts) EXPECT_TRUE(watch.on_spent(amount));
    read_all();
  }
};

TEST_F(LimitTest, EachMarkIsWarnedOfOnce) {
  plan_.spending.limits = {.tokens = 100, .cost = 1000};
  spends({{40, 0}, {15, 600}, {-10, 0}, {40, 0}, {-20, 0}, {30, 0}});
  EXPECT_THAT(warnings(), ElementsAre("maxTokens 50", "maxCostUsd 50", "maxTokens 80", "maxTokens 95"));
  EXPECT_THAT(kinds(), ElementsAre("spent", "spent", "limit.warning", "limit.warning", "spent", "spent",
                                   "limit.warning", "spent", "spent", "limit.warning"));
}

TEST_F(LimitTest, WhatIsSpentIsInTheJournalWithAllThatIsUsed) {
  spends({{40, 5}});
  const auto& spent = records_.back().data;
  EXPECT_EQ(base::get_int(spent, "tokens"), 40);
  EXPECT_EQ(base::get_int(spent, "nanoUsd"), 5);
  EXPECT_EQ(base::get_int(*base::get_object(spent, "used"), "tokens"), 40);
}

TEST_F(LimitTest, AnAgentThatWritesTooMuchIsStoppedAndItsWorkIsKept) {
  plan_.spending.limits = {.output_bytes = 4000};
  agent({.floods = 1 << 20});
  keep();
  EXPECT_EQ(outcome(), "failed limit_exceeded");
  EXPECT_EQ(exceeded(), "maxOutputBytes");
  EXPECT_EQ(cause(), "maxOutputBytes");
  EXPECT_TRUE(exit().at("index").is_object());
}

TEST_F(LimitTest, ARunThatTakesTooLongIsInterruptedAndFails) {
  plan_.spending.limits = {.wall_seconds = 1};
  agent({.says = "event agent.started {\"threadId\":\"t\"}\n"});
  keep();
  EXPECT_EQ(outcome(), "failed limit_exceeded");
  EXPECT_EQ(exceeded(), "maxWallSeconds");
  EXPECT_THAT(warnings(), ElementsAre("maxWallSeconds 50", "maxWallSeconds 80", "maxWallSeconds 95"));
}

TEST_F(LimitTest, TheServersOwnLimitKeepsItsCode) {
  plan_.spending.limits = {.wall_seconds = 100};
  plan_.limits.wall_time = 50ms;
  agent({.says = "event agent.started {\"threadId\":\"t\"}\n"});
  keep();
  EXPECT_EQ(outcome(), "failed wall_limit");
  EXPECT_EQ(exceeded(), "not once");
}

TEST_F(LimitTest, OneCallTooManyEndsTheRun) {
  plan_.spending.limits = {.actions = 2};
  agent({.says = "event agent.tool_started {\"callId\":\"1\",\"tool\":\"shell\"}\n"
                 "event agent.tool_started {\"callId\":\"2\",\"tool\":\"shell\"}\n"
                 "event agent.tool_started {\"callId\":\"3\",\"tool\":\"shell\"}\n"
                 "wait\n"});
  keep();
  EXPECT_EQ(outcome(), "failed limit_exceeded");
  EXPECT_EQ(exceeded(), "maxActions");
}

TEST_F(LimitTest, AtActionScopeNothingIsReleasedThatWouldBeOneTooMany) {
  plan_.approval_scope = model::ApprovalScope::action;
  plan_.spending.limits = {.actions = 2};
  agent({.says = "ask shell ls\nask shell pwd\nask shell id\nsay ok\n"});
  keep();
  EXPECT_EQ(outcome(), "failed limit_exceeded");
  int released = 0;
  for (const auto& record : records_) released += record.kind == "released" ? 1 : 0;
  EXPECT_EQ(released, 1 + 2);  // the launch, and two
}

TEST_F(LimitTest, WithoutLimitsNothingIsSaid) {
  agent({.says = "event agent.tool_started {\"callId\":\"1\",\"tool\":\"shell\"}\nsay ok\n"});
  keep();
  EXPECT_EQ(outcome(), "completed");
  EXPECT_EQ(base::get_int(*base::get_object(exit(), "used"), "actions"), 1);
}

TEST(SpendingPlan, IsTheSameAfterItsDocument) {
  SpendingPlan plan;
  plan.limits = {.tokens = 5, .cost = 7000};
  plan.prices.put("gpt-*", {.input = 1, .output = 2, .max_output_tokens = 3});
  plan.allowance = policy::Amount{policy::unbounded, 9};
  const auto again = SpendingPlan::from_json(plan.to_json()).value();
  EXPECT_EQ(again.limits, plan.limits);
  EXPECT_EQ(again.prices.find("gpt-x")->max_output_tokens, 3);
  EXPECT_EQ(again.allowance, plan.allowance);
  EXPECT_FALSE(SpendingPlan::from_json({})->allowance);
}

}  // namespace
}  // namespace agentrouter::keeper
