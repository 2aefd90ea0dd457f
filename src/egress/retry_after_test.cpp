#include "egress/retry_after.h"

#include <gtest/gtest.h>

namespace agentrouter::egress {
namespace {

using namespace std::chrono_literals;

const base::Time noon = base::Time(std::chrono::sys_days(std::chrono::year(2026) / 11 / 29)) + 12h;

std::optional<std::chrono::milliseconds> after(net::Headers headers) {
  return retry_after_of(headers, noon);
}

TEST(RetryAfter, SecondsMillisecondsAndDatesAreRead) {
  EXPECT_EQ(after({{"Retry-After", "30"}}), 30s);
  EXPECT_EQ(after({{"retry-after", "0.5"}}), 500ms);
  EXPECT_EQ(after({{"retry-after", "9"}, {"retry-after-ms", "1500"}}), 1500ms);
  EXPECT_EQ(after({{"retry-after", "Sun, 29 Nov 2026 12:01:05 GMT"}}), 65s);
}

TEST(RetryAfter, ATimeThatHasPassedIsNow) {
  EXPECT_EQ(after({{"retry-after", "-5"}}), 0ms);
  EXPECT_EQ(after({{"retry-after", "Sun, 29 Nov 2026 11:00:00 GMT"}}), 0ms);
}

TEST(RetryAfter, AYearIsTheMost) {
  EXPECT_EQ(after({{"retry-after", "99999999999999999999"}}), std::chrono::hours(24 * 365));
}

TEST(RetryAfter, TheLatestOfTheLimitsThatAreUsedUpCounts) {
  EXPECT_EQ(after({{"x-ratelimit-remaining-requests", "0"},
                   {"x-ratelimit-reset-requests", "1s"},
                   {"x-ratelimit-remaining-tokens", "0"},
                   {"x-ratelimit-reset-tokens", "6m0s"}}),
            6min);
  EXPECT_EQ(after({{"x-ratelimit-remaining-requests", "0"},
                   {"x-ratelimit-reset-requests", "120ms"},
                   {"x-ratelimit-remaining-tokens", "500"},
                   {"x-ratelimit-reset-tokens", "6m0s"}}),
            120ms);
  EXPECT_EQ(after({{"anthropic-ratelimit-input-tokens-remaining", "0"},
                   {"anthropic-ratelimit-input-tokens-reset", "2026-11-29T12:00:20Z"},
                   {"anthropic-ratelimit-requests-remaining", "7"},
                   {"anthropic-ratelimit-requests-reset", "2026-11-29T13:00:00Z"}}),
            20s);
}

TEST(RetryAfter, TheUnifiedLimitSaysItInSecondsSince1970) {
  const auto at = std::chrono::duration_cast<std::chrono::seconds>((noon + 1h).time_since_epoch()).count();
  EXPECT_EQ(after({{"anthropic-ratelimit-unified-reset", std::to_string(at)}}), 1h);
}

TEST(RetryAfter, WhatCannotBeReadSaysNothing) {
  EXPECT_FALSE(after({}));
  for (const auto* text : {"", "soon", "nan", "inf", "1e3", "Sun, 99 Nov 2026 12:01:05 GMT",
                           "Sun, 29 Foo 2026 12:01:05 GMT", "2026-11-29T12:00:20Z"}) {
    EXPECT_FALSE(after({{"retry-after", text}})) << text;
  }
  for (const auto* text : {"", "6", "m", "6x", "1.2.3s", "s6"}) {
    EXPECT_FALSE(after({{"x-ratelimit-remaining-a", "0"}, {"x-ratelimit-reset-a", text}})) << text;
  }
  for (const auto* text :
       {"", "2026-11-29T12:00:20", "2026-13-29T12:00:20Z", "2026/11/29T12:00:20Z", "2026-11-29T25:00:20Z"}) {
    EXPECT_FALSE(after({{"anthropic-ratelimit-a-remaining", "0"}, {"anthropic-ratelimit-a-reset", text}}))
        << text;
  }
}

}  // namespace
}  // namespace agentrouter::egress
