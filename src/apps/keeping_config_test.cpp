#include "apps/keeping_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::apps {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(KeepingConfig, EveryKeyIsReadAndPrinted) {
  KeepingConfig config;
  const auto set = [&](const char* key, const char* text) {
    ASSERT_TRUE(is_keeping_setting(key)) << key;
    const auto done = set_keeping_value(config, key, text);
    ASSERT_TRUE(done) << done.error().message;
  };
  set("admission.max_queued_runs", "7");
  set("admission.max_queued_runs_of_share", "3");
  set("admission.share_tag", "team");
  set("admission.max_waiting_runs", "0");
  set("admission.max_waiting_calls", "9");
  set("admission.max_memory_bytes", "2097152");
  set("retention.max_age_hours", "48");
  set("retention.max_runs", "100");
  set("retention.max_bytes", "4194304");
  EXPECT_EQ(config.queue.max_queued, 7);
  EXPECT_EQ(config.queue.max_queued_of_share, 3);
  EXPECT_EQ(config.queue.share_tag, "team");
  EXPECT_EQ(config.max_waiting_runs, 0);
  EXPECT_EQ(config.retention.max_age, 48h);
  EXPECT_EQ(config.retention.max_runs, 100);
  EXPECT_EQ(config.retention.max_bytes, 4'194'304);
  EXPECT_EQ(overload_rules(config).max_waiting_calls, 9u);
  EXPECT_EQ(overload_rules(config).max_memory_bytes, 2'097'152u);
  EXPECT_EQ(print_keeping(config),
            "\n[admission]\nshare_tag = \"team\"\nmax_queued_runs = 7\nmax_queued_runs_of_share = 3\n"
            "max_active_runs_of_workspace = 0\nunplaceable_minutes = 0\nmax_waiting_runs = 0\nmax_waiting_calls = 9\nmax_memory_bytes = 2097152\n"
            "\n[retention]\nmax_age_hours = 48\nmax_runs = 100\nmax_bytes = 4194304\n");
}

TEST(KeepingConfig, NothingIsThrownAwayUnlessItIsSaid) {
  KeepingConfig config;
  EXPECT_FALSE(config.retention.any());
  for (const auto* key : {"retention.max_age_hours", "retention.max_runs", "retention.max_bytes"})
    ASSERT_TRUE(set_keeping_value(config, key, "0"));
  EXPECT_FALSE(config.retention.any());
}

TEST(KeepingConfig, WhatDoesNotFitNamesTheKeyAndWhatIsWanted) {
  KeepingConfig config;
  const auto refusal = [&](const char* key, const char* text) {
    const auto done = set_keeping_value(config, key, text);
    return done ? std::string("accepted") : done.error().message;
  };
  EXPECT_THAT(refusal("retention.max_bytes", "5"), HasSubstr("a whole number from 1048576"));
  EXPECT_THAT(refusal("admission.max_queued_runs", "-1"), HasSubstr("admission.max_queued_runs is \"-1\""));
  EXPECT_THAT(refusal("admission.max_waiting_calls", "many"), HasSubstr("or 0"));
  EXPECT_THAT(refusal("retention.max_weeks", "1"), HasSubstr("unknown key"));
}

TEST(KeepingConfig, ThisProcessHasMemory) {
  EXPECT_GT(resident_bytes(), 1u << 20);
  EXPECT_GT(overload_rules({}).max_memory_bytes, resident_bytes());
}

}  // namespace
}  // namespace agentrouter::apps
