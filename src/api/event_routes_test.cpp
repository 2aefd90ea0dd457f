#include "api/rig_test.h"
#include "stream/sse.h"

namespace agentrouter::api {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class EventRoutes : public ApiRig {
 protected:
  // The id of a key of the workspace, and the head fields that bring it.
  std::pair<std::string, std::string> reader_of(const std::string& workspace) {
    const auto made =
        post("/v1/keys", R"({"name":"k","scopes":["runs:read"],"workspaces":[")" + workspace + "\"]}")
            .object();
    return {std::string(made.at("id").as_string()),
            "Authorization: Bearer " + std::string(made.at("key").as_string()) + "\r\n"};
  }
  void revoke(const std::string& id) {
    EXPECT_EQ(raw(request("DELETE", "/v1/keys/" + id, "", key())).status, 200);
  }
};

TEST_F(EventRoutes, QueryNumbersAreReadAsLaxlyAsThePublishedApiDoes) {
  const auto id = created();
  append_claim(id);
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
  for (int i = 0; i < 3; ++i) append_message(id, "m");
  const auto page = get("/v1/runs/" + id + "/events?afterSeq=1&limit=1").object();
  EXPECT_EQ(page.at("items").as_array().size(), 1u);
  EXPECT_EQ(page.at("items").at(0).at("sequence").as_int64(), 2);
  EXPECT_EQ(page.at("nextAfterSeq").as_int64(), 2);
  EXPECT_EQ(get("/v1/runs/" + id + "/events?afterSeq=7").body, R"({"items":[],"nextAfterSeq":7})");
}

TEST_F(EventRoutes, WithoutAcceptAStreamIsOneBatchThenTheEnd) {
  const auto id = created();
  EXPECT_EQ(get("/v1/runs/" + id + "/stream").body, "event: heartbeat\ndata: {}\n\n");
  append_claim(id);
  append_message(id);
  const auto reply = get("/v1/runs/" + id + "/stream?afterSeq=1");
  EXPECT_THAT(reply.body, StartsWith("id: 2\nevent: agent.message\ndata: {\"runId\":"));
  EXPECT_THAT(reply.body, Not(HasSubstr("\r")));
  EXPECT_EQ(get("/v1/runs/run_none/stream").error_code(), "run_not_found");
}

TEST_F(EventRoutes, ALiveStreamGivesEachEventWhenItIsCommittedAndEndsWithTheRun) {
  const auto id = created();
  append_claim(id);
  Wire wire(port_);
  wire.send(request("GET", "/v1/runs/" + id + "/stream", "", key() + "Accept: text/event-stream\r\n"));
  EXPECT_THAT(wire.read_until("event: run.claimed"), HasSubstr("retry: 1000\n\n"));
  wire.read_until(std::string(stream::keep_alive_frame()));
  append_message(id, "live");
  EXPECT_THAT(wire.read_until("\"live\""), HasSubstr("id: 2\nevent: agent.message"));
  end_run(id);
  EXPECT_THAT(wire.read_to_end(), HasSubstr("id: 3\nevent: run.completed"));
}

TEST_F(EventRoutes, ALiveStreamEndsWhenItsKeyIsRevoked) {
  const auto id = created();
  append_claim(id);
  const auto [reader, headers] = reader_of("default");
  const auto live = request("GET", "/v1/runs/" + id + "/stream?follow=true", "", headers);
  Wire wire(port_);
  wire.send(live);
  wire.read_until(std::string(stream::keep_alive_frame()));
  revoke(reader);
  // The last chunk comes: it is an end, and not a cut. The run goes on.
  EXPECT_THAT(wire.read_to_end(), AllOf(EndsWith("\r\n0\r\n\r\n"), Not(HasSubstr("event: run.completed"))));
  EXPECT_EQ(raw(live).status, 401);
}

TEST_F(EventRoutes, ALiveStreamThatIsNeverIdleEndsWithItsKey) {
  const auto id = created();
  append_claim(id);
  const auto [reader, headers] = reader_of("default");
  Wire wire(port_);
  wire.send(request("GET", "/v1/runs/" + id + "/stream?follow=true", "", headers));
  wire.read_until("event: run.claimed");
  revoke(reader);
  for (const auto end = base::after(std::chrono::milliseconds(500)); !base::passed(end);) append_message(id);
  append_message(id, "behind the end");
  end_run(id);
  EXPECT_THAT(wire.read_to_end(), Not(HasSubstr("behind the end")));
}

TEST_F(EventRoutes, ALiveStreamEndsWhenItsWorkspaceIsDisabled) {
  EXPECT_EQ(post("/v1/workspaces", R"({"id":"team-a"})").status, 201);
  const auto team_a = "X-Workspace-Id: team-a\r\n";
  const auto run = post("/v1/runs", R"({"task":"t"})", team_a).object();
  const auto target = "/v1/runs/" + std::string(run.at("id").as_string()) + "/stream?follow=true";
  // Also with the server's own key.
  for (const auto& headers : {reader_of("team-a").second, key() + team_a}) {
    Wire wire(port_);
    wire.send(request("GET", target, "", headers));
    wire.read_until(std::string(stream::keep_alive_frame()));
    const auto set = [&](const char* body) {
      return raw(
          request("PATCH", "/v1/workspaces/team-a", body, key() + "Content-Type: application/json\r\n"));
    };
    EXPECT_EQ(set(R"({"disabled":true})").status, 200);
    EXPECT_THAT(wire.read_to_end(), EndsWith("\r\n0\r\n\r\n"));
    EXPECT_EQ(raw(request("GET", target, "", headers)).error_code(), "workspace_unknown");
    EXPECT_EQ(set(R"({"disabled":false})").status, 200);
  }
}

TEST_F(EventRoutes, ALiveStreamResumesBehindTheLargerCursorAndAnEndedRunAnswers204) {
  const auto id = created();
  for (int i = 0; i < 4; ++i) append_message(id);
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

TEST_F(EventRoutes, LastEventIdCountsOnlyWhenItIsAllDigits) {
  const auto id = created();
  for (int i = 0; i < 3; ++i) append_message(id);
  const auto batch = [&](const std::string& query, const std::string& last) {
    return get("/v1/runs/" + id + "/stream" + query, "Last-Event-ID: " + last + "\r\n").body;
  };
  EXPECT_THAT(batch("", "2"), StartsWith("id: 3\n"));
  EXPECT_THAT(batch("", "000000000000000000002"), StartsWith("id: 3\n"));
  for (const char* ignored : {"x", "2x", "-2", "+2", "0x2", "2.0", "2 2", ""})
    EXPECT_THAT(batch("", ignored), StartsWith("id: 1\n")) << ignored;
  // A batch takes afterSeq when there is one, whatever is larger.
  EXPECT_THAT(batch("?afterSeq=1", "2"), StartsWith("id: 2\n"));
  EXPECT_EQ(batch("", "99999999999999999999"), "event: heartbeat\ndata: {}\n\n");
  end_run(id);
  const auto live = [&](const std::string& query, const std::string& last) {
    return get("/v1/runs/" + id + "/stream" + query,
               "Accept: text/event-stream\r\nLast-Event-ID: " + last + "\r\n");
  };
  EXPECT_THAT(live("?afterSeq=3", "1").body, StartsWith("retry: 1000\n\nid: 4\n"));
  EXPECT_THAT(live("?afterSeq=-3", "x").body, StartsWith("retry: 1000\n\nid: 1\n"));
  EXPECT_EQ(live("", "4").status, 204);
  EXPECT_EQ(live("", "99999999999999999999").status, 204);
}

TEST_F(EventRoutes, OnlyWhoAsksForALiveStreamGetsOne) {
  const auto id = created();
  append_claim(id);
  end_run(id);
  const auto is_live = [&](const std::string& query, const std::string& headers) {
    return get("/v1/runs/" + id + "/stream" + query, headers).body.starts_with("retry: 1000\n\n");
  };
  EXPECT_TRUE(is_live("", "Accept: text/event-stream\r\n"));
  EXPECT_TRUE(is_live("", "Accept: */*;q=0.1, Text/Event-Stream; charset=utf-8\r\n"));
  EXPECT_TRUE(is_live("?follow=true", ""));
  EXPECT_TRUE(is_live("?follow=1", "Accept: application/json\r\n"));
  EXPECT_FALSE(is_live("", "Accept: */*\r\n"));
  EXPECT_FALSE(is_live("", "Accept: text/event-stream;q=0\r\n"));
  EXPECT_FALSE(is_live("?follow=false", ""));
  EXPECT_FALSE(is_live("?follow=", ""));
  EXPECT_EQ(get("/v1/runs/" + id + "/stream?follow=true&follow=true").error_code(), "validation_error");
}

TEST_F(EventRoutes, StreamsSayWhatTheyAreAndErrorsStayErrors) {
  const auto id = created();
  append_message(id, "a\nb\r\nc");
  for (const char* query : {"", "?follow=true"}) {
    const auto reply = raw(request("HEAD", "/v1/runs/" + id + "/stream" + query, "", key()));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.header("Content-Type"), "text/event-stream; charset=utf-8");
    EXPECT_EQ(reply.header("Cache-Control"), "no-cache, no-transform");
    EXPECT_EQ(reply.header("X-Accel-Buffering"), "no");
    EXPECT_THAT(reply.header("X-Request-Id"), StartsWith("req_"));
    EXPECT_EQ(reply.body, "");
  }
  EXPECT_THAT(get("/v1/runs/" + id + "/stream").body, Not(HasSubstr("\r")));
  const std::string live = "Accept: text/event-stream\r\n";
  EXPECT_EQ(get("/v1/runs/run_none/stream", live).error_code(), "run_not_found");
  EXPECT_EQ(get("/v1/runs/" + id + "/stream?afterSeq=1.5", live).error_code(), "validation_error");
}

}  // namespace
}  // namespace agentrouter::api
