#include "keeper/open_calls.h"

#include <gtest/gtest.h>

namespace agentrouter::keeper {
namespace {

using namespace std::chrono_literals;

class OpenCallsTest : public ::testing::Test {
 protected:
  void start(const std::string& id, std::chrono::milliseconds at) {
    agents::EmitEvent event{"agent.tool_started", "", {{"callId", id}}};
    calls.see(event, base::Deadline(at));
  }
  json::object end(const std::string& id, std::chrono::milliseconds at, json::object more = {}) {
    more["callId"] = id;
    agents::EmitEvent event{"agent.tool_completed", "", std::move(more)};
    calls.see(event, base::Deadline(at));
    return event.payload;
  }
  OpenCalls calls;
};

TEST_F(OpenCallsTest, ACallTakesTheTimeSinceItWasLetGo) {
  start("a", 100ms);
  start("b", 100ms);
  EXPECT_EQ(calls.count(), 2u);
  calls.released("a", base::Deadline(150ms));
  calls.released("unknown", base::Deadline(150ms));
  EXPECT_EQ(end("a", 170ms).at("durationMs"), 20);
  EXPECT_EQ(end("b", 170ms).at("durationMs"), 70);
  EXPECT_EQ(calls.count(), 0u);
}

TEST_F(OpenCallsTest, WhatTheAgentSaysItselfStands) {
  start("a", 0ms);
  EXPECT_EQ(end("a", 50ms, {{"durationMs", 7}}).at("durationMs"), 7);
}

TEST_F(OpenCallsTest, ADeclinedOrUnknownCallTookNoTime) {
  start("a", 0ms);
  EXPECT_FALSE(end("a", 50ms, {{"status", "declined"}, {"durationMs", 11}}).contains("durationMs"));
  EXPECT_FALSE(end("b", 50ms).contains("durationMs"));
}

}  // namespace
}  // namespace agentrouter::keeper
