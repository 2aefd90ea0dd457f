#include "apps/machine_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;

TEST(MachineConfig, EveryKeyIsReadAndPrinted) {
  MachineConfig config;
  const auto set = [&](const char* key, const char* text) {
    ASSERT_TRUE(is_machine_setting(key)) << key;
    const auto done = set_machine_value(config, key, text);
    ASSERT_TRUE(done) << done.error().message;
  };
  set("sandbox.limits.memory_bytes", "134217728");
  set("sandbox.limits.disk_inodes", "5000");
  set("sandbox.limits.wall_seconds", "60");
  set("sandbox.limits.output_bytes_per_second", "0");
  set("machine.pids", "300");
  EXPECT_EQ(config.limits.disk_reserve_inode_percent, 1u);
  set("machine.disk_reserve_bytes", "0");
  set("machine.memory_reserve_bytes", "1048576");
  set("machine.disk_reserve_inode_percent", "3");
  EXPECT_EQ(config.limits.disk_reserve_inode_percent, 3u);
  set("machine.warm_sandboxes", "3");
  EXPECT_EQ(config.limits.memory_bytes, 134'217'728u);
  EXPECT_EQ(config.limits.disk_inodes, 5000u);
  EXPECT_EQ(config.wall_time.count(), 60);
  EXPECT_EQ(config.machine.pids, 300u);
  EXPECT_EQ(config.limits.memory_reserve_bytes, 1'048'576u);
  EXPECT_EQ(config.warm_sandboxes, 3u);
  const auto text = print_machine(config);
  EXPECT_THAT(text, HasSubstr("[sandbox.limits]\nmemory_bytes = 134217728\n"));
  EXPECT_THAT(text, HasSubstr("output_bytes_per_second = 0\n"));
  EXPECT_THAT(text, HasSubstr("[machine]\nmemory_bytes = 0\npids = 300\n"));
}

TEST(MachineConfig, WhatDoesNotFitNamesTheKeyAndWhatIsWanted) {
  MachineConfig config;
  const auto refusal = [&](const char* key, const char* text) {
    const auto done = set_machine_value(config, key, text);
    return done ? std::string("accepted") : done.error().message;
  };
  EXPECT_THAT(refusal("sandbox.limits.memory_bytes", "1000"), HasSubstr("a whole number from 67108864"));
  EXPECT_THAT(refusal("sandbox.limits.pids", "0"), HasSubstr("sandbox.limits.pids is \"0\""));
  EXPECT_THAT(refusal("machine.pids", "many"), HasSubstr("or 0 for no limit"));
  EXPECT_THAT(refusal("machine.warm_sandboxes", "65"), HasSubstr("a whole number from 0 to 64"));
  EXPECT_THAT(refusal("sandbox.limits.swap", "1"), HasSubstr("unknown key"));
}

TEST(MachineConfig, ARequestMayAskForWhatASandboxHasUnlessMoreIsAllowed) {
  MachineConfig config;
  config.limits.disk_bytes = 1000;
  const auto rules = within({.defaults = {}, .most = {.memory_bytes = 1ll << 33}}, config);
  EXPECT_EQ(rules.most.disk_bytes, 1000);
  EXPECT_EQ(rules.most.memory_bytes, 1ll << 33);
}

}  // namespace
}  // namespace agentrouter::apps
