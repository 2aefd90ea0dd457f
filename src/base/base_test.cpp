#include <gtest/gtest.h>

#include <bit>
#include <boost/asio/co_spawn.hpp>
#include <cmath>
#include <cstdio>
#include <random>

#include "base/ascii.h"
#include "base/clock.h"
#include "base/gzip.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/task_scope.h"
#include "base/utf8.h"

namespace agentrouter::base {
namespace {

TEST(Crc32c, MatchesThePublishedCheckValue) { EXPECT_EQ(crc32c("123456789"), 0xe3069283u); }

TEST(Sha256, MatchesThePublishedVector) {
  EXPECT_EQ(Sha256::hex_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Ascii, OnlyLettersOfAsciiHaveAnotherCase) {
  EXPECT_EQ(ascii_lower("Content-LENGTH @[`{ \xc4"), "content-length @[`{ \xc4");
  EXPECT_TRUE(equal_without_case("X-Api-Key", "x-API-key"));
  EXPECT_FALSE(equal_without_case("key", "keys"));
  EXPECT_FALSE(equal_without_case("@", "`"));
}

TEST(Time, RoundTripsThroughIsoWithMilliseconds) {
  const auto time = value_or_throw(parse_iso("2026-11-24T13:38:23.007Z"));
  EXPECT_EQ(to_iso(time), "2026-11-24T13:38:23.007Z");
  EXPECT_FALSE(parse_iso("2026-02-30T00:00:00.000Z"));
  EXPECT_FALSE(parse_iso("2026-11-24 13:38:23.007Z"));
}

TEST(Ids, NamesMadeFromTextAreStableAndShapedLikeUuids) {
  EXPECT_EQ(uuid_from_text("a"), uuid_from_text("a"));
  EXPECT_NE(uuid_from_text("a"), uuid_from_text("b"));
  EXPECT_TRUE(is_prefixed_uuid("run_" + new_uuid(system_entropy()), "run_"));
  EXPECT_FALSE(is_prefixed_uuid("run_../../etc/passwd-------------------", "run_"));
}

TEST(Json, CanonicalFormSortsKeysByUtf16UnitAndWritesEcmascriptNumbers) {
  const auto value = value_or_throw(parse_json(
      R"({"\u20ac":1,"\r":2,"\ud83d\ude00":3,"b":[1e21,1e-7,0.1,1.0,-0.0,333333333.5],"a":"\u000f\n\"\\/"})"));
  EXPECT_EQ(to_canonical(value),
            "{\"\\r\":2,\"a\":\"\\u000f\\n\\\"\\\\/\",\"b\":[1e+21,1e-7,0.1,1,0,333333333.5],"
            "\"\xe2\x82\xac\":1,\"\xf0\x9f\x98\x80\":3}");
}

TEST(Json, ReadsTheNearestDoubleOfEveryNumber) {
  std::mt19937_64 random(8785);
  for (int i = 0; i < 20'000; ++i) {
    const auto number = std::bit_cast<double>(random());
    if (!std::isfinite(number)) continue;
    for (const int digits : {17, 40}) {
      char text[64];
      std::snprintf(text, sizeof text, "%.*e", digits - 1, number);
      const auto read = value_or_throw(parse_json(text));
      ASSERT_EQ(read.to_number<double>(), number) << text;
      ASSERT_EQ(to_canonical(value_or_throw(parse_json(to_canonical(read)))), to_canonical(read)) << text;
    }
  }
  const auto long_one = value_or_throw(parse_json("[74109310748149309414143414943014143131.123]"));
  EXPECT_EQ(to_canonical(long_one), "[7.410931074814931e+37]");
  EXPECT_EQ(to_canonical(value_or_throw(parse_json("[1e-400,-1e-400,4.9e-324,1.7976931348623158e308]"))),
            "[0,0,5e-324,1.7976931348623157e+308]");
  EXPECT_EQ(parse_json("1.7976931348623159e308").error().reason, "json_value");
}

TEST(Json, RefusesWhatAnotherParserCouldReadDifferently) {
  for (const char* bad : {"", "{", "{}{}", "[1,]", "\"\\ud800\"", "\"\xff\"", "1e999", "nul", "{\"a\":1} x"}) {
    EXPECT_FALSE(parse_json(bad)) << bad;
  }
  for (const char* bad : {R"("\ud800")", R"("\ud800\u0041")", R"("\udc00")", R"("\ud83d x")", "1e99999999999", "1e999", "\"\xff\""}) {
    EXPECT_EQ(parse_json(bad).error().reason, "json_value") << bad;
  }
  for (const char* bad : {R"("\\ud800)", "{", R"("\u12")"}) EXPECT_EQ(parse_json(bad).error().reason, "json_syntax") << bad;
  EXPECT_FALSE(parse_json(std::string(200, '[') + std::string(200, ']')));
  EXPECT_TRUE(parse_json(" {\"a\" : [1, 2]} \n"));
}

TEST(Utf8, CutsAndCountsLikeJavascript) {
  EXPECT_EQ(utf16_length("a\xf0\x9f\x98\x80"), 3u);
  EXPECT_EQ(cut_utf16("a\xf0\x9f\x98\x80", 2), "a");
  EXPECT_EQ(cut_utf8("\xe2\x82\xac\xe2\x82\xac", 4), "\xe2\x82\xac");
  EXPECT_EQ(trim_js("\xc2\xa0\xef\xbb\xbf x y \n"), "x y");
  EXPECT_EQ(trim_js(" \t"), "");
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(is_utf8("\xc0\x80"));
  EXPECT_EQ(to_utf8("a\xff"), "a\xef\xbf\xbd");
}

TEST(Gzip, MembersAddUpToOneFileAndEqualInputGivesEqualBytes) {
  EXPECT_EQ(gzip("one"), gzip("one"));
  EXPECT_EQ(value_or_throw(gunzip(gzip("one") + gzip("two"), 100)), "onetwo");
  EXPECT_EQ(gunzip(gzip(std::string(1000, 'x')), 100).error().code, Code::exhausted);
  EXPECT_EQ(gunzip(gzip("one").substr(0, 10), 100).error().code, Code::corrupt);
  EXPECT_EQ(gunzip("", 100).error().code, Code::corrupt);
  EXPECT_EQ(gunzip("no gzip at all", 100).error().code, Code::corrupt);
  std::string long_text;
  for (int i = 0; i < 40'000; ++i) long_text += std::to_string(i);
  EXPECT_EQ(value_or_throw(gunzip(gzip(long_text) + gzip("") + gzip(long_text), 1 << 20)),
            long_text + long_text);
  EXPECT_EQ(gunzip(gzip(long_text) + "x", 1 << 20).error().code, Code::corrupt);
}

Task<void> use_pool_then_wait(Pool& pool, bool& worked) {
  worked = co_await pool.run([] { return true; });
  Event never(co_await this_executor);
  co_await never.wait();
}

Task<void> cancel_while_the_pool_works(Pool& pool, TaskScope& scope, bool& worked) {
  scope.spawn(use_pool_then_wait(pool, worked));
  co_await asio::post(co_await this_executor, use_task);
  co_await scope.cancel_and_join();
}

TEST(Pool, TaskThatIsCancelledMeanwhileWaitsForItsWorkAndThenEnds) {
  asio::io_context io;
  Pool pool(1);
  TaskScope scope(io.get_executor());
  bool worked = false;
  bool joined = false;
  asio::co_spawn(io.get_executor(), cancel_while_the_pool_works(pool, scope, worked),
                 [&](std::exception_ptr error) { joined = !error; });
  io.run();
  EXPECT_TRUE(joined);
  EXPECT_TRUE(worked);
}

}  // namespace
}  // namespace agentrouter::base
