#include "policy/no_progress_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/rules.h"

namespace agentrouter::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

json::value read(const char* text) {
  return base::value_or_throw(base::parse_json(text));
}

NoProgressRules rules_of(const char* text) {
  return base::value_or_throw(NoProgressRules::parse(read(text)));
}

std::string refusal_of(const char* text) {
  const auto rules = NoProgressRules::parse(read(text));
  return rules ? "" : rules.error().message;
}

TEST(NoProgressRules, WithoutATableEverySignalIsOnlyToldOf) {
  const NoProgressRules rules;
  for (std::size_t i = 0; i < signal_count; ++i) {
    const auto signal = static_cast<Signal>(i);
    EXPECT_EQ(rules.action(signal, 9, 9), Intervention::warn);
    EXPECT_FALSE(rules.intervenes(signal));
    EXPECT_EQ(parse_signal(to_string(signal)), signal);
  }
}

TEST(NoProgressRules, ActionsFollowTheOccurrence) {
  const auto rules =
      rules_of(R"({"action": ["warn", "interrupt", "stop"], "long_silence": {"action": "ask"}})");
  EXPECT_EQ(rules.action(Signal::ping_pong, 1, 0), Intervention::warn);
  EXPECT_EQ(rules.action(Signal::ping_pong, 2, 0), Intervention::interrupt);
  EXPECT_EQ(rules.action(Signal::ping_pong, 3, 0), Intervention::stop);
  EXPECT_EQ(rules.action(Signal::ping_pong, 30, 0), Intervention::stop);
  EXPECT_EQ(rules.action(Signal::long_silence, 1, 0), Intervention::ask);
  EXPECT_TRUE(rules.intervenes(Signal::ping_pong));
}

TEST(NoProgressRules, AfterItsInterruptsTheRunIsStopped) {
  const auto rules = rules_of(R"({"action": "interrupt", "interrupts": 1})");
  EXPECT_EQ(rules.action(Signal::ping_pong, 1, 0), Intervention::interrupt);
  EXPECT_EQ(rules.action(Signal::ping_pong, 2, 1), Intervention::stop);
}

TEST(NoProgressRules, WhatIsNotUnderstoodSaysWhereAndWhatIsWanted) {
  EXPECT_THAT(refusal_of("[]"), HasSubstr("no_progress: want a table"));
  EXPECT_THAT(refusal_of(R"({"x": 1})"), HasSubstr("unknown key \"x\""));
  EXPECT_THAT(refusal_of(R"({"action": "kill"})"),
              HasSubstr("no_progress.action: want one of warn, interrupt, ask, stop"));
  EXPECT_THAT(refusal_of(R"({"action": []})"), HasSubstr("want 1 to 8 actions"));
  EXPECT_THAT(refusal_of(R"({"ping_pong": 3})"), HasSubstr("no_progress.ping_pong: want a table"));
  EXPECT_THAT(refusal_of(R"({"ping_pong": {"after": 1}})"),
              HasSubstr("no_progress.ping_pong.after: want a number from 2 to 100"));
  EXPECT_THAT(refusal_of(R"({"ping_pong": {"polls": 3}})"),
              HasSubstr("unknown key \"polls\": want one of after, action"));
  EXPECT_THAT(refusal_of(R"({"repeated_command": {"polls": "x"}})"),
              HasSubstr("polls: want a number from 2 to 200"));
  EXPECT_THAT(refusal_of(R"({"interrupts": -1})"), HasSubstr("interrupts: want a number from 0 to 100"));
}

TEST(NoProgressRules, OfTwoTheStricterCounts) {
  const auto both =
      tightened(rules_of(R"({"action": ["warn", "ask"], "ping_pong": {"after": 9}, "interrupts": 5})"),
                rules_of(R"({"action": "interrupt", "ping_pong": {"after": 4, "action": "stop"}})"));
  EXPECT_EQ(both.after(Signal::ping_pong), 4);
  EXPECT_EQ(both.interrupts, 2);
  EXPECT_EQ(both.action(Signal::error_loop, 1, 0), Intervention::interrupt);
  EXPECT_EQ(both.action(Signal::error_loop, 2, 0), Intervention::ask);
  EXPECT_EQ(both.action(Signal::ping_pong, 1, 0), Intervention::stop);
}

TEST(NoProgressRules, APolicyHasThemInItsVersionAndPassesThemOn) {
  const auto document = [](const char* text) { return read(text).as_object(); };
  const auto rules = base::value_or_throw(
      Rules::parse(document(R"({"name": "p", "default": "ask", "no_progress": {"action": "stop"}})")));
  const auto plain = base::value_or_throw(Rules::parse(document(R"({"name": "p", "default": "ask"})")));
  EXPECT_NE(rules.version(), plain.version());
  EXPECT_EQ(rules.no_progress().action(Signal::ping_pong, 1, 0), Intervention::stop);
  EXPECT_EQ(plain.no_progress().action(Signal::ping_pong, 1, 0), Intervention::warn);
  const auto child = base::value_or_throw(Rules::parse(inherited(
      document(R"({"name": "c", "no_progress": {"ping_pong": {"after": 7}}})"),
      document(
          R"({"name": "p", "default": "ask", "no_progress": {"action": "ask", "ping_pong": {"after": 4, "action": "stop"}}})"))));
  EXPECT_EQ(child.no_progress().after(Signal::ping_pong), 7);
  EXPECT_EQ(child.no_progress().action(Signal::ping_pong, 1, 0), Intervention::stop);
  EXPECT_EQ(child.no_progress().action(Signal::error_loop, 1, 0), Intervention::ask);
  EXPECT_EQ(tightened(plain, rules).no_progress().action(Signal::ping_pong, 1, 0), Intervention::stop);
  const auto broken = Rules::parse(document(R"({"name": "p", "default": "ask", "no_progress": {"x": 1}})"));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().reason, "policy_invalid");
}

TEST(NoProgressRules, APolicyOfNothingElseJudgesNoAction) {
  const auto only = base::value_or_throw(
      Rules::parse(read(R"({"name": "p", "no_progress": {"action": "stop"}})").as_object()));
  EXPECT_FALSE(only.judges_actions());
  const auto both = tightened(only, *preset("locked"));
  EXPECT_TRUE(both.judges_actions());
  EXPECT_EQ(both.judge({.tool = "read"}).policy_id, "locked");
  EXPECT_EQ(both.no_progress().action(Signal::ping_pong, 1, 0), Intervention::stop);
  EXPECT_EQ(base::value_or_throw(Rules::parse(both.document())).version(), both.version());
  EXPECT_FALSE(Rules::parse(read(R"({"name": "p", "no_progress": {}, "rules": []})").as_object()));
}

TEST(NoProgressRules, ADryRunOnlyWarns) {
  const auto dry = base::value_or_throw(Rules::parse(
      read(R"({"name": "p", "mode": "dry-run", "no_progress": {"action": "stop"}})").as_object()));
  EXPECT_TRUE(dry.no_progress().dry_run);
  EXPECT_FALSE(dry.no_progress().intervenes(Signal::ping_pong));
  const auto wet = base::value_or_throw(
      Rules::parse(read(R"({"name": "q", "no_progress": {"action": "ask"}})").as_object()));
  EXPECT_FALSE(tightened(wet, dry).no_progress().dry_run);
}

}  // namespace
}  // namespace agentrouter::policy
