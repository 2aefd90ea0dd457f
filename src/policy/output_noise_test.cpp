#include "policy/output_noise.h"

#include <gtest/gtest.h>

#include "policy/waiting.h"

namespace agentrouter::policy {
namespace {

TEST(OutputNoise, WhatEveryRunSaysAnewIsTakenOff) {
  const std::pair<const char*, const char*> cases[] = {
      {"at 2026-11-29T08:36:03.123Z done", "at <time> done"},
      {"2026-11-29 08:36:03 +0100 x", "<time> x"},
      {"[08:36:03] x", "[<time>] x"},
      {"5 passed in 0.12s", "5 passed in <duration>"},
      {"took 1m2.5s (12 ms, 3 seconds)", "took <duration> (<duration>, <duration>)"},
      {"took 15\xc2\xb5s", "took <duration>"},
      {"ts=1780000000 ms=1780000000123", "ts=<time> ms=<time>"},
      {"pid 4711 PID: 12 seed=99", "pid <number> PID: <number> seed=<number>"},
      {"[1] 4711\n", "[1] <number>\n"},
      {"at 0x7ffe12ab34", "at <address>"},
      {"id 123e4567-e89b-12d3-a456-426614174000", "id <id>"},
      {"id abcdef12-e89b-12d3-a456-426614174000", "id <id>"},
      {"in /tmp/tmpab12/x and /tmp/pytest-17/y", "in /tmp/<name>/x and /tmp/<name>/y"},
      {"-rw-r--r-- 1 u u 17 Nov 29 08:36 a", "-rw-r--r-- 1 u u 17 <time> a"},
      {"\x1b[31mred\x1b[0m", "red"},
      {"10%\r50%\rdone\n", "done\n"},
      {"a\r\nb\r\n", "a\nb\n"},
  };
  for (const auto& [text, clean] : cases) EXPECT_EQ(without_noise(text), clean);
}

TEST(OutputNoise, CountersPlacesAndNamesStay) {
  for (const auto* text :
       {"7 of 20 done", "45%", "a.c:12:30: error", "v1.2.3", "127.0.0.1:8080", "3 files changed",
        "/tmp/log.txt", "abc1234", "line 12345", "10 m", "12 errors", "x86_64", "1.5 GB", "5 items"})
    EXPECT_EQ(without_noise(text), text);
}

TEST(OutputNoise, LongOutputsAreTheirBeginAndEnd) {
  const std::string text(3u << 20, 'a');
  EXPECT_LT(without_noise(text).size(), text.size() / 2);
  EXPECT_NE(without_noise(text), without_noise(text + "a"));
}

TEST(ErrorSignature, IsTheSameWhateverToolPassesTheErrorOn) {
  const auto plain = error_of("ModuleNotFoundError: No module named 'x'");
  EXPECT_EQ(plain.line, "ModuleNotFoundError: No module named 'x'");
  EXPECT_EQ(
      plain.digest,
      error_of("Traceback (most recent call last):\n  ModuleNotFoundError: No module named 'x'\n").digest);
  EXPECT_EQ(plain.digest,
            error_of("ModuleNotFoundError: No module named 'x'\nmake: *** [all] Error 1\n").digest);
  EXPECT_NE(plain.digest, error_of("ModuleNotFoundError: No module named 'y'").digest);
  EXPECT_NE(error_of("a error\nb\nc error").digest, error_of("a error\nb error\nc error").digest);
  EXPECT_EQ(error_of("all is well").digest, 0u);
}

TEST(Waiting, IsSeenInWhatACommandRuns) {
  EXPECT_EQ(waiting_of("sleep 5"), Waiting::only);
  EXPECT_EQ(waiting_of("/bin/bash -lc 'sleep 5 && echo waited'"), Waiting::only);
  EXPECT_EQ(waiting_of("sleep 5; kubectl get pods"), Waiting::also);
  EXPECT_EQ(waiting_of("until curl -s x; do sleep 1; done"), Waiting::also);
  EXPECT_EQ(waiting_of("kubectl wait pod/x"), Waiting::also);
  EXPECT_EQ(waiting_of("gh run watch 1"), Waiting::also);
  for (const auto* command :
       {"make", "cat sleep.txt", "grep wait src", "timeout 5 make", "npm run watch-css", ""})
    EXPECT_EQ(waiting_of(command), Waiting::none) << command;
}

}  // namespace
}  // namespace agentrouter::policy
