#include "stream/sse.h"

#include <gtest/gtest.h>

#include "testing/builders.h"

namespace agentrouter::stream {

namespace {

model::Event event_with(std::string payload) {
  model::Event event;
  static_cast<model::EventDraft&>(event) = testing::make_draft("agent.message", payload);
  event.run_id = testing::run_id("a");
  event.sequence = 7;
  return event;
}

TEST(Sse, AnEventIsThreeLinesAndAnEmptyOne) {
  const auto event = event_with(R"({"text":"a\nb"})");
  EXPECT_EQ(event_frame(event), "id: 7\nevent: agent.message\ndata: " + event.to_wire() + "\n\n");
}

TEST(Sse, LineEndsBetweenTokensOfAPayloadCannotBreakTheFrame) {
  const auto frame = event_frame(event_with("{\r\n  \"text\": \"a\\n\"\n}"));
  EXPECT_EQ(frame.find('\r'), std::string::npos);
  EXPECT_EQ(std::count(frame.begin(), frame.end(), '\n'), 4);
  EXPECT_TRUE(frame.ends_with("\n\n"));
  const auto data = frame.substr(frame.find("data: ") + 6);
  EXPECT_EQ(json::parse(data).at("payload").at("text"), "a\n");
}

TEST(Sse, FixedFramesAreWhatTheContractSays) {
  EXPECT_EQ(heartbeat_frame(), "event: heartbeat\ndata: {}\n\n");
  EXPECT_EQ(retry_frame(std::chrono::milliseconds(1000)), "retry: 1000\n\n");
  EXPECT_TRUE(keep_alive_frame().starts_with(":"));
  EXPECT_TRUE(keep_alive_frame().ends_with("\n\n"));
}

}  // namespace

}  // namespace agentrouter::stream
