#include "webhooks/guard.h"

#include <gtest/gtest.h>

#include "webhooks/schedule.h"
#include "webhooks/sender.h"
#include "testing/fixed_entropy.h"

namespace agentrouter::webhooks {

namespace {

using namespace std::chrono_literals;

bool admits(std::string_view url, GuardRules rules = {}) {
  const auto admitted = admit_url(url, rules);
  if (!admitted) EXPECT_EQ(admitted.error().reason, "webhook_url_refused");
  return admitted.has_value();
}

TEST(Guard, TakesHttpsAtPublicAddresses) {
  for (const auto* url : {"https://hooks.example.com/a?b=c", "https://8.8.8.8/", "https://[2606:4700::1111]:8443/x"})
    EXPECT_TRUE(admits(url)) << url;
}

TEST(Guard, RefusesWhatOnlyTheServersMachineReaches) {
  for (const auto* url :
       {"http://hooks.example.com/", "https://127.0.0.1/", "https://10.1.2.3/", "https://192.168.0.1/",
        "https://169.254.169.254/latest", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[fe80::1]/",
        "https://0.0.0.0/", "https://user:pass@example.com/", "https://example.com/#x", "ftp://example.com/",
        "example.com", "", "https://", "https://exa mple.com/"})
    EXPECT_FALSE(admits(url)) << url;
  EXPECT_FALSE(admits("https://example.com/" + std::string(2048, 'a')));
}

TEST(Guard, ANamedHostMayBePrivateButNeverLinkLocal) {
  const GuardRules rules{{"127.0.0.1", "hooks.lan:8080", "10.0.0.5", "169.254.169.254"}};
  EXPECT_TRUE(admits("http://127.0.0.1:9999/x", rules));
  EXPECT_TRUE(admits("https://127.0.0.1/", rules));
  EXPECT_TRUE(admits("http://hooks.lan:8080/", rules));
  EXPECT_TRUE(admits("https://10.0.0.5/", rules));
  EXPECT_FALSE(admits("http://hooks.lan/", rules));
  EXPECT_FALSE(admits("http://other.lan:8080/", rules));
  EXPECT_FALSE(admits("https://10.0.0.6/", rules));
  EXPECT_FALSE(admits("http://169.254.169.254/", rules));
  const auto reach = [&](const char* url) { return reach_of(base::value_or_throw(net::parse_url(url)), rules); };
  EXPECT_EQ(reach("http://hooks.lan:8080/"), net::Reach::not_link_local);
  EXPECT_EQ(reach("https://hooks.lan/"), net::Reach::public_only);
}

TEST(Schedule, WaitsLongerEachTimeForAboutThreeDays) {
  testing::FixedEntropy entropy;
  std::chrono::milliseconds all{0};
  std::chrono::milliseconds before{0};
  for (int attempts = 1; attempts < most_attempts; ++attempts) {
    const auto delay = delay_after(attempts, std::nullopt, entropy);
    ASSERT_TRUE(delay);
    EXPECT_GE(*delay * 6 / 5, before) << attempts;
    all += before = *delay;
  }
  EXPECT_GE(all, 70h);
  EXPECT_LE(all, 86h);
  EXPECT_FALSE(delay_after(most_attempts, std::nullopt, entropy));
}

TEST(Schedule, JitterIsUpToAFifth) {
  testing::FixedEntropy entropy;
  std::chrono::milliseconds least = 1h;
  std::chrono::milliseconds most{0};
  for (int i = 0; i < 1000; ++i) {
    const auto delay = *delay_after(1, std::nullopt, entropy);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_GE(least, 5000ms);
  EXPECT_LE(least, 5050ms);
  EXPECT_GE(most, 5950ms);
  EXPECT_LE(most, 6000ms);
}

TEST(Schedule, WhatTheEndpointAskedForCountsUpToADay) {
  testing::FixedEntropy entropy;
  EXPECT_GE(*delay_after(1, 90s, entropy), 90s);
  EXPECT_LE(*delay_after(1, 90s, entropy), 108s);
  EXPECT_LT(*delay_after(5, 1s, entropy), 36min + 1s);
  EXPECT_GE(*delay_after(1, 1000h, entropy), 24h);
  EXPECT_LE(*delay_after(1, 1000h, entropy), 29h);
}

TEST(RetryAfter, IsSecondsOrADate) {
  const auto now = base::value_or_throw(base::parse_iso("1994-11-06T08:49:37.000Z"));
  EXPECT_EQ(retry_after_of("120", now), 120s);
  EXPECT_EQ(retry_after_of("Sun, 06 Nov 1994 08:50:37 GMT", now), 60s);
  EXPECT_EQ(retry_after_of("Sun, 06 Nov 1994 08:40:37 GMT", now), 0s);
  for (const auto* text : {"", "-1", "1.5", "soon", "Sun, 66 Nov 1994 08:49:37 GMT", "999999999999",
                           "Sun, 06 ovD 1994 08:49:37 GMT"})
    EXPECT_FALSE(retry_after_of(text, now)) << text;
}

}  // namespace

}  // namespace agentrouter::webhooks
