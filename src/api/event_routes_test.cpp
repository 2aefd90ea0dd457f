#include "api/rig_test.h"
#include "stream/sse.h"

namespace agentrouter::api {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class EventRoutes : public ApiRig {};

TEST_F(EventRoutes, QueryNumbersAreReadAsLaxlyAsThePublishedApiDoes) {
  const auto id = created();
  append(id, "run.claimed");
  const auto events = [&](const std::string& query) { return get("/v1/runs/" + id + "/events?" + query); };
  for (const char* good : {"afterSeq=", "afterSeq=0x0", "afterSeq=-5", "limit=1e2", "limit=%20500%20",
                           "limit=0x10", "unknown=1"}) {
    EXPECT_EQ(events(good).status, 200) << good;
  }
  for (const char* bad : {"afterSeq=1.5", "afterSeq=abc", "limit=0", "limit=501", "limit=1.5",
                          "limit=", "limit=abc", "limit=1&limit=2"}) {
    EXPECT_EQ(events(bad).error_code(), "validation_error") << bad;
  }
  EXPECT_EQ(get("/v1/runs?status=none").error_code(), "validation_error");
  EXPECT_EQ(get("/v1/runs?limit=101").error_code(), "validation_error");
}

TEST_F(EventRoutes, EventsArePagedAndTheCursorStaysWhenThereIsNothingNew) {
  const auto id = created();
  for (int i = 0; i < 3; ++i) append(id, "agent.message", R"({"text":"m"})");
  const auto page = get("/v1/runs/" + id + "/events?afterSeq=1&limit=1").object();
  EXPECT_EQ(page.at("items").as_array().size(), 1u);
  EXPECT_EQ(page.at("items").at(0).at("sequence").as_int64(), 2);
  EXPECT_EQ(page.at("nextAfterSeq").as_int64(), 2);
  EXPECT_EQ(get("/v1/runs/" + id + "/events?afterSeq=7").body, R"({"items":[],"nextAfterSeq":7})");
}

TEST_F(EventRoutes, WithoutAcceptAStreamIsOneBatchThenTheEnd) {
  const auto id = created();
  EXPECT_EQ(get("/v1/runs/" + id + "/stream").body, "event: heartbeat\ndata: {}\n\n");
  append(id, "run.claimed");
  append(id, "agent.message");
  const auto reply = get("/v1/runs/" + id + "/stream?afterSeq=1");
  EXPECT_THAT(reply.body, StartsWith("id: 2\nevent: agent.message\ndata: {\"runId\":"));
  EXPECT_THAT(reply.body, Not(HasSubstr("\r")));
  EXPECT_EQ(get("/v1/runs/run_none/stream").error_code(), "run_not_found");
}

TEST_F(EventRoutes, ALiveStreamGivesEachEventWhenItIsCommittedAndEndsWithTheRun) {
  const auto id = created();
  append(id, "run.claimed");
  Wire wire(port_);
  wire.send(request("GET", "/v1/runs/" + id + "/stream", "", key() + "Accept: text/event-stream\r\n"));
  EXPECT_THAT(wire.read_until("event: run.claimed"), HasSubstr("retry: 1000\n\n"));
  wire.read_until(std::string(stream::keep_alive_frame()));
  append(id, "agent.message", R"({"text":"live"})");
  EXPECT_THAT(wire.read_until("\"live\""), HasSubstr("id: 2\nevent: agent.message"));
  end_run(id);
  EXPECT_THAT(wire.read_to_end(), HasSubstr("id: 3\nevent: run.completed"));
}

TEST_F(EventRoutes, ALiveStreamResumesBehindTheLargerCursorAndAnEndedRunAnswers204) {
  const auto id = created();
  for (int i = 0; i < 4; ++i) append(id, "agent.message");
  end_run(id);
  const auto reply = raw(request("GET", "/v1/runs/" + id + "/stream?follow=true&afterSeq=2", "",
                                 key() + "Last-Event-ID: 3\r\n"));
  EXPECT_THAT(reply.body, AllOf(Not(HasSubstr("id: 3\n")), HasSubstr("id: 4\n"), HasSubstr("id: 5\n")));
  EXPECT_EQ(raw(request("GET", "/v1/runs/" + id + "/stream?follow=true", "", key() + "Last-Event-ID: 5\r\n"))
                .status,
            204);
  const auto head =
      raw(request("HEAD", "/v1/runs/" + id + "/stream", "", key() + "Accept: text/event-stream\r\n"));
  EXPECT_EQ(head.status, 200);
  EXPECT_THAT(head.head, HasSubstr("text/event-stream; charset=utf-8"));
  EXPECT_EQ(head.body, "");
}

}  // namespace
}  // namespace agentrouter::api
