#include "apps/cluster_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;

TEST(ClusterConfig, LabelsLeasesAndFiguresAreRead) {
  ClusterConfig config;
  base::value_or_throw(set_cluster_value(config, "worker.labels.gpu", "false"));
  base::value_or_throw(set_cluster_value(config, "cluster.lease_seconds", "12"));
  base::value_or_throw(set_cluster_value(config, "metrics.listen", "127.0.0.1:9464"));
  EXPECT_EQ(config.labels.at("gpu"), "false");
  EXPECT_EQ(config.lease, std::chrono::seconds(12));
  EXPECT_EQ(config.metrics_host, "127.0.0.1");
  EXPECT_EQ(config.metrics_port, 9464);
  const auto printed = print_cluster(config);
  for (const auto* line : {"[worker.labels]\n\"gpu\" = \"false\"", "lease_seconds = 12", "listen = \"127.0.0.1:9464\""})
    EXPECT_THAT(printed, HasSubstr(line));
  base::value_or_throw(set_cluster_value(config, "metrics.listen", "[::1]:9464"));
  EXPECT_EQ(config.metrics_host, "::1");
  EXPECT_THAT(print_cluster(config), HasSubstr("listen = \"[::1]:9464\""));
  base::value_or_throw(set_cluster_value(config, "metrics.listen", ""));
  EXPECT_EQ(config.metrics_host, "");
}

TEST(ClusterConfig, WhatIsNoneIsRefusedWithWhatIsWanted) {
  ClusterConfig config;
  for (const auto& [key, text, problem] : std::vector<std::array<std::string, 3>>{
           {"worker.labels.gpu", "a b", "at most 64"},
           {"worker.labels.a b", "c", "at most 64"},
           {"worker.labels.runtime", "codex", "finds that out by itself"},
           {"cluster.lease_seconds", "2", "from 3 to 600"},
           {"metrics.listen", "9464", "want HOST:PORT"},
           {"metrics.listen", "::1:9464", "or [ADDRESS]:PORT"},
           {"metrics.listen", "127.0.0.1:x", "metrics.listen"}}) {
    const auto refused = set_cluster_value(config, key, text);
    ASSERT_FALSE(refused) << key;
    EXPECT_THAT(refused.error().message, HasSubstr(problem)) << key;
  }
}

}  // namespace
}  // namespace agentrouter::apps
