#include "policy/run_limits.h"

#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

TEST(RunLimits, AreTheSameAfterTheirDocument) {
  const RunLimits limits{.wall_seconds = 60, .tokens = 1000, .cost = 1'500'000'000, .actions = 3};
  EXPECT_EQ(limits, RunLimits::from_json(limits.to_json()));
  EXPECT_TRUE(RunLimits::from_json({{"maxTokens", -1}, {"maxCostUsd", "1"}, {"maxActions", 0}}).empty());
}

TEST(RunLimits, ARunThatNamesNoneGetsTheServersDefaultsWithinItsMaxima) {
  const LimitRules rules{.defaults = {.tokens = 100, .actions = 50},
                         .most = {.tokens = 1000, .cost = 7, .actions = 10}};
  const auto settled = settle_limits({}, rules).value();
  EXPECT_EQ(100, settled.tokens);
  EXPECT_EQ(10, settled.actions);
  EXPECT_EQ(7, settled.cost);
  EXPECT_FALSE(settled.wall_seconds);
}

TEST(RunLimits, ARunMayAskForMoreThanTheDefaultButNotForMoreThanTheServerAllows) {
  const LimitRules rules{.defaults = {.tokens = 100}, .most = {.tokens = 1000}};
  EXPECT_EQ(500, settle_limits({.tokens = 500}, rules)->tokens);
  const auto refused = settle_limits({.tokens = 1001}, rules);
  ASSERT_FALSE(refused);
  EXPECT_EQ("validation_error", refused.error().reason);
  EXPECT_NE(std::string::npos, refused.error().details.find("maxTokens"));
}

TEST(RunLimits, LaterTurnsInheritThemAndMayOnlyTighten) {
  const RunLimits before{.tokens = 500, .actions = 5};
  EXPECT_EQ(before, settle_limits({}, {}, before).value());
  EXPECT_EQ(400, settle_limits({.tokens = 400}, {}, before)->tokens);
  EXPECT_EQ(9000, settle_limits({.cost = 9000}, {}, before)->cost);
  EXPECT_FALSE(settle_limits({.actions = 6}, {}, before));
}

TEST(RunLimits, WhatEverySandboxHasIsNotWrittenIntoARunThatAsksForNothing) {
  const LimitRules rules{.defaults = {}, .most = {.memory_bytes = 1 << 30, .pids = 512}};
  EXPECT_TRUE(settle_limits({}, rules)->empty());
  EXPECT_EQ(100, settle_limits({.pids = 100}, rules)->pids);
  EXPECT_FALSE(settle_limits({.pids = 513}, rules));
  EXPECT_EQ(512, settle_limits({}, rules, RunLimits{.pids = 600})->pids);
}

TEST(RunLimits, EachMarkWarnsOnce) {
  EXPECT_EQ(0, next_warning(49, 100, 0));
  EXPECT_EQ(50, next_warning(50, 100, 0));
  EXPECT_EQ(0, next_warning(79, 100, 50));
  EXPECT_EQ(95, next_warning(99, 100, 50));
  EXPECT_EQ(0, next_warning(1000, 100, 95));
  EXPECT_EQ(95, next_warning(unbounded, unbounded, 0));
}

}  // namespace
}  // namespace agentrouter::policy
