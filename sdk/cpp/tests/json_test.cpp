#include <gtest/gtest.h>

#include <agentrouter/error.hpp>
#include <agentrouter/json.hpp>

namespace agentrouter {
namespace {

TEST(Json, WritesWhatItHasReadInTheSameOrder) {
  const std::string text = R"({"b":[1,-2,0.5,1e+30,true,null,"\u000f\n\"\\é"],"a":{}})";
  EXPECT_EQ(Json::parse(text).dump(), text);
}

TEST(Json, MissingKeysAndOtherTypesReadAsFallback) {
  const auto json = Json::parse(R"({"text":"x","n":7,"half":0.5,"whole":3.0,"huge":1e300,"list":[1]})");
  EXPECT_EQ(json["action"]["name"].as_string("none"), "none");
  EXPECT_EQ(json["text"].as_int(-1), -1);
  EXPECT_EQ(json["n"].as_int(), 7);
  EXPECT_EQ(json["half"].as_int(-1), -1);
  EXPECT_EQ(json["whole"].as_int(-1), 3);
  EXPECT_EQ(json["huge"].as_int(-1), -1);
  EXPECT_DOUBLE_EQ(json["half"].as_double(), 0.5);
  EXPECT_TRUE(json["text"].as_array().empty());
  EXPECT_TRUE(json["list"].as_object().empty());
  EXPECT_TRUE(json["nothing"].is_null());
  EXPECT_FALSE(json.has("nothing"));
}

TEST(Json, RefusesWhatIsNotOneValue) {
  for (const auto* text : {"", "{", "1 2", "{\"a\":}", "'a'", "nul", "\"\xff\"", "[1,]"}) {
    EXPECT_THROW(static_cast<void>(Json::parse(text)), Error) << text;
  }
}

TEST(Json, RefusesNestingThatWouldOverflow) {
  EXPECT_NO_THROW(static_cast<void>(Json::parse(std::string(100, '[') + std::string(100, ']'))));
  EXPECT_THROW(static_cast<void>(Json::parse(std::string(100'000, '['))), Error);
}

TEST(Json, EscapesEveryControlCharacterSoThatTerminalsAreSafe) {
  EXPECT_EQ(Json(std::string("\x1b[31m\x7f\xc2\x9b")).dump(), R"("\u001b[31m\u007f\u009b")");
  EXPECT_EQ(Json(std::string("é€😀")).dump(), "\"é€😀\"");
}

TEST(Json, LastOfRepeatedKeysWins) {
  EXPECT_EQ(Json::parse(R"({"a":1,"a":2})")["a"].as_int(), 2);
}

TEST(Json, IsBuiltFromPlainValues) {
  const auto json =
      Json::object({{"yes", true}, {"n", 3}, {"x", 1.5}, {"s", "t"}, {"list", Json::array({1, "a"})}});
  EXPECT_EQ(json.dump(), R"({"yes":true,"n":3,"x":1.5,"s":"t","list":[1,"a"]})");
}

}  // namespace
}  // namespace agentrouter
