#include "apps/takeover_protocol.h"

#include <gtest/gtest.h>

namespace agentrouter::apps::takeover {
namespace {

template <class Kind>
Kind round_trip(const Kind& message) {
  return std::get<Kind>(base::value_or_throw(parse(to_text(Message(message)))));
}

TEST(TakeoverProtocol, EveryMessageComesBackAsItWas) {
  EXPECT_EQ(round_trip(Hello{}).protocol, protocol);
  EXPECT_EQ(round_trip(Welcome{.activated = {true, false}}).activated, (std::vector{true, false}));
  const auto refused = round_trip(Refused{"takeover_in_progress", "another one", protocol});
  EXPECT_EQ(refused.code + ": " + refused.message, "takeover_in_progress: another one");
  round_trip(Go{});
  round_trip(Connections{});
  round_trip(Yours{});
  round_trip(Ready{});
}

// What another version says stays readable as far as its number.
TEST(TakeoverProtocol, AnotherVersionIsReadAsFarAsItsNumber) {
  EXPECT_EQ(std::get<Hello>(base::value_or_throw(parse(R"({"type":"hello","protocol":7,"more":[1]})"))).protocol, 7);
  EXPECT_EQ(std::get<Welcome>(base::value_or_throw(parse(R"({"type":"welcome","protocol":7})"))).protocol, 7);
}

TEST(TakeoverProtocol, WhatIsNoneOfItsMessagesIsRefused) {
  for (const char* text :
       {"", "no json", "[]", "{}", R"({"type":"other"})", R"({"type":"hello"})", R"({"type":"hello","protocol":0})",
        R"({"type":"hello","protocol":"1"})", R"({"type":"hello","protocol":99999999999})",
        R"({"type":"welcome","protocol":1})", R"({"type":"welcome","protocol":1,"sockets":[1]})",
        R"({"type":"welcome","protocol":1,"sockets":[{}]})", R"({"type":"refused"})"}) {
    EXPECT_EQ(parse(text).error().code, base::Code::invalid) << text;
  }
  std::string many = R"({"type":"welcome","protocol":1,"sockets":[)";
  for (std::size_t i = 0; i <= fds_of_message; ++i) many += std::string(i ? "," : "") + R"({"activated":false})";
  EXPECT_FALSE(parse(many + "]}"));
  EXPECT_FALSE(parse(R"({"type":"refused","protocol":1,"message":")" + std::string(message_bytes, 'x') + "\"}"));
}

TEST(TakeoverProtocol, OnlyTheSameUserAndRootTakeOver) {
  EXPECT_TRUE(admits(1000, 1000));
  EXPECT_TRUE(admits(0, 1000));
  EXPECT_FALSE(admits(1000, 0));
  EXPECT_FALSE(admits(1001, 1000));
}

}  // namespace
}  // namespace agentrouter::apps::takeover
