#include "policy/quota.h"

#include <gtest/gtest.h>

namespace agentrouter::policy {
namespace {

using namespace std::chrono_literals;

TEST(QuotaWait, OnlyLimitsHealWithTime) {
  EXPECT_TRUE(is_quota("provider_rate_limited"));
  EXPECT_TRUE(is_quota("provider_quota_exhausted"));
  for (const auto* cause : {"", "provider_auth_failed", "provider_unavailable", "model_not_found"}) {
    EXPECT_FALSE(is_quota(cause)) << cause;
  }
}

TEST(QuotaWait, TheProvidersWordCounts) {
  EXPECT_EQ(next_wait({}, {}, 90s), 90s);
  EXPECT_EQ(next_wait({}, {.count = 3, .waited = 1min}, 2h), 2h);
}

TEST(QuotaWait, WithoutAWordItDoublesUpToTheLongest) {
  EXPECT_EQ(next_wait({}, {}, {}), 30s);
  EXPECT_EQ(next_wait({}, {.count = 1}, {}), 1min);
  EXPECT_EQ(next_wait({}, {.count = 4}, {}), 8min);
  EXPECT_EQ(next_wait({}, {.count = 5}, {}), 15min);
  EXPECT_EQ(next_wait({}, {.count = 1'000'000}, {}), 15min);
}

TEST(QuotaWait, AProviderThatSaysNowAgainAndAgainIsAskedEverLessOften) {
  EXPECT_EQ(next_wait({}, {}, 0ms), 1s);
  EXPECT_EQ(next_wait({}, {.count = 4}, 0ms), 16s);
  EXPECT_EQ(next_wait({}, {.count = 4}, 20s), 20s);
}

TEST(QuotaWait, MoreThanTheMostIsNoWait) {
  EXPECT_EQ(next_wait({.most = 1min}, {}, 1min), 1min);
  EXPECT_FALSE(next_wait({.most = 1min}, {}, 61s));
  EXPECT_FALSE(next_wait({.most = 1min}, {.count = 2, .waited = 59s}, {}));
  EXPECT_FALSE(next_wait({.most = 0ms}, {}, {}));
}

}  // namespace
}  // namespace agentrouter::policy
