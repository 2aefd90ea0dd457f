#include "egress/canonical_body.h"

#include <gtest/gtest.h>

namespace agentrouter::egress {
namespace {

TEST(CanonicalBody, IdsTimesAndMeasuredSecondsAreAllTheSame) {
  for (const auto& [text, canonical] : std::vector<std::pair<std::string, std::string>>{
           {"run 0199a213-81c0-7800-8aa1-bbab2a035a53.", "run <id>."},
           {"msg_0199a213-81c0-7800-8aa1-bbab2a035a53", "msg_<id>"},
           {"at 2026-11-29T13:25:45Z", "at <time>"},
           {"at 2026-11-29T13:25:45.123456+02:00.", "at <time>."},
           {"today is 2026-11-29", "today is <time>"},
           {"2026-11-29 13:25:45 x", "<time> x"},
           {"Sun Nov 29 13:25:45 UTC 2026", "<time>"},
           {"Sun Nov  1 13:25:45 UTC 2026", "<time>"},
           {"-rw-r--r-- 1 a a 6 Nov 29 13:25 x", "-rw-r--r-- 1 a a 6 <time> x"},
           {"Wall time: 0.0512 seconds", "Wall time: <n> seconds"},
           {"Wall time: 0 seconds", "Wall time: <n> seconds"},
           {"took 1.25s, 12 ms, 3.5 seconds", "took <n>s, <n> ms, <n> seconds"},
           {"Chunk ID: 4af09b", "Chunk ID: <id>"},
           {"cc_version=2.1.330.b7d; cch=0a1b2;", "cc_version=<version>; cch=<id>;"},
           {"commit 0123456789abcdef0123456789abcdef01234567", "commit <id>"}})
    EXPECT_EQ(canonical_text(text), canonical) << text;
}

TEST(CanonicalBody, WhatATaskSaysStaysAsItIs) {
  for (const std::string text : {"sleep 3", "wait 30 s", "version 1.2.3", "127.83.1.1:80", "x = 12345678", "a-2026-1", "1.5 size",
                                 "0x1234", "2026-11-299", "line 12:34", "abcdef", "", "seconds"})
    EXPECT_EQ(canonical_text(text), text);
}

TEST(CanonicalBody, NamesOfTheCallerAreLeftOutAndKeysAreSorted) {
  const auto one = canonical_body(R"({"model":"m","b":[{"z":1,"a":"2026-11-29"}],"metadata":{"user_id":"u"},"prompt_cache_key":"k"})");
  const auto other = canonical_body(R"({"prompt_cache_key":"l","b":[{"a":"2027-01-01","z":1}],"model":"m"})");
  EXPECT_EQ(base::to_text(one), R"({"b":[{"a":"<time>","z":1}],"model":"m"})");
  EXPECT_EQ(base::to_text(one), base::to_text(other));
  const auto deep = canonical_body(R"({"input":[{"metadata":{"x":1}}]})");
  EXPECT_EQ(base::to_text(deep), R"({"input":[{"metadata":{"x":1}}]})") << "only at the top";
}

TEST(CanonicalBody, WhatIsNoObjectIsAText) {
  EXPECT_EQ(canonical_body("not json at 2026-11-29"), json::value("not json at <time>"));
  EXPECT_EQ(canonical_body("[1]"), json::value("[1]"));
}

TEST(CanonicalBody, IsReadableLineByLine) {
  EXPECT_EQ(readable(canonical_body(R"({"b":"one\ntwo","a":[1,{}],"c":"x"})")),
            "{\n  a: [\n    1\n    {}\n  ]\n  b: \n    | one\n    | two\n  c: \"x\"\n}\n");
}

}  // namespace
}  // namespace agentrouter::egress
