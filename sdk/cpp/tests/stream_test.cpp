#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <agentrouter/agentrouter.hpp>
#include <thread>

#include "scripted_server.hpp"

namespace agentrouter {
namespace {

using namespace std::chrono_literals;
using scripted::error_json;
using scripted::event_stream;
using scripted::frame;
using scripted::open_stream;
using scripted::reply;
using testing::ElementsAre;

const std::string route = "GET /v1/runs/run_1/stream";
const std::string run_route = "GET /v1/runs/run_1";
const std::string heartbeat = "event: heartbeat\ndata: {}\n\n";

std::string run_json(const std::string& status, int last_event_seq) {
  return R"({"id":"run_1","status":")" + status + R"(","lastEventSeq":)" + std::to_string(last_event_seq) +
         "}";
}

struct EventStreamTest : testing::Test {
  scripted::ScriptedServer server;

  [[nodiscard]] EventStream open(StreamOptions options = {}) const {
    options.min_delay = 1ms;
    options.max_delay = 4ms;
    options.poll_interval = 1ms;
    return Client({.api_key = "key-1", .base_url = server.url()}).stream_run("run_1", std::move(options));
  }
  // "sequence type" of each event, then how it ended.
  static std::vector<std::string> read(EventStream stream) {
    std::vector<std::string> seen;
    try {
      for (const auto& event : stream) seen.push_back(std::to_string(event.sequence) + " " + event.type);
      seen.push_back("end");
    } catch (const Error& error) {
      seen.push_back(error.code() + "/" + std::to_string(error.status()));
    }
    return seen;
  }
  [[nodiscard]] std::vector<std::string> resumed_from() const {
    std::vector<std::string> ids;
    for (const auto& request : server.requests(route)) ids.push_back(request.header("last-event-id"));
    return ids;
  }
};

TEST_F(EventStreamTest, EndsWithTheRunWhileTheConnectionIsStillOpen) {
  server.on(route, open_stream({"retry: 1\n\n: hi\n\n", frame(1, "run.claimed"), frame(2, "run.completed")}));
  EXPECT_THAT(read(open()), ElementsAre("1 run.claimed", "2 run.completed", "end"));
  const auto request = server.requests().at(0);
  EXPECT_EQ(request.header("accept"), "text/event-stream");
  EXPECT_EQ(request.header("authorization"), "Bearer key-1");
  EXPECT_EQ(request.target, "/v1/runs/run_1/stream");
}

TEST_F(EventStreamTest, EventsArriveWhenTheyAreSent) {
  std::mutex mutex;
  std::condition_variable changed;
  bool first_seen = false;
  server.on(route, [&](scripted::Connection& connection, const auto&) {
    connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    connection.send(frame(1, "run.claimed"));
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return first_seen; });
    }
    connection.send(frame(2, "run.completed"));
    connection.close();
  });
  auto stream = open();
  EXPECT_EQ(stream.next()->sequence, 1);
  EXPECT_TRUE(stream.connected());
  {
    const std::lock_guard lock(mutex);
    first_seen = true;
  }
  changed.notify_all();
  EXPECT_EQ(stream.next()->sequence, 2);
  EXPECT_FALSE(stream.next());
  EXPECT_TRUE(stream.done());
}

TEST_F(EventStreamTest, ResumesBehindTheLastEventAfterEveryKindOfCut) {
  const auto third = frame(3, "agent.message");
  server.on(route, event_stream({frame(1, "a"), frame(2, "b"), third.substr(0, third.size() / 2)}));
  server.on(route, [&](scripted::Connection& connection, const auto&) {
    connection.send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    connection.send("8\r\nid: 3\neve");
    connection.reset();
  });
  server.on(route, [](scripted::Connection& connection, const auto&) { connection.close(); });
  server.on(route, reply(503, error_json("unavailable", "x")));
  server.on(route, event_stream({third}));
  server.on(route, open_stream({frame(4, "run.failed")}));
  EXPECT_THAT(read(open()), ElementsAre("1 a", "2 b", "3 agent.message", "4 run.failed", "end"));
  EXPECT_THAT(resumed_from(), ElementsAre("", "2", "2", "2", "2", "3"));
  EXPECT_EQ(server.requests(route).back().target, "/v1/runs/run_1/stream?afterSeq=3");
}

TEST_F(EventStreamTest, RepeatedEventsAreGivenOnce) {
  server.on(route, event_stream({frame(1, "a"), frame(1, "a"), frame(2, "b")}));
  server.on(route, open_stream({frame(1, "a"), frame(2, "b"), frame(3, "run.completed")}));
  EXPECT_THAT(read(open()), ElementsAre("1 a", "2 b", "3 run.completed", "end"));
}

TEST_F(EventStreamTest, AGapIsNeverHandedOut) {
  server.on(route, open_stream({frame(1, "a"), frame(3, "c")}));
  server.on(route, open_stream({frame(2, "b"), frame(3, "run.completed")}));
  EXPECT_THAT(read(open()), ElementsAre("1 a", "2 b", "3 run.completed", "end"));
  EXPECT_THAT(resumed_from(), ElementsAre("", "1"));
}

TEST_F(EventStreamTest, GarbageIsSkippedByReconnecting) {
  server.on(route, open_stream({frame(1, "a"), "data: {\"sequence\":\n\n"}));
  server.on(route, open_stream({"data: {}\n\n"}));
  server.on(route, reply(200, "<html>", {}, "text/html"));
  server.on(route, open_stream({frame(2, "run.cancelled")}));
  EXPECT_THAT(read(open()), ElementsAre("1 a", "2 run.cancelled", "end"));
}

TEST_F(EventStreamTest, NothingButGarbageIsAProtocolError) {
  server.on(route, open_stream({"data: not json\n\n"}));
  EXPECT_THAT(read(open()), ElementsAre("protocol_error/0"));
  EXPECT_EQ(server.requests().size(), 5u);
  server.on(route, reply(200, "{}"));
  EXPECT_THAT(read(open()), ElementsAre("protocol_error/0"));
}

TEST_F(EventStreamTest, RefusalsEndIt) {
  server.on(route, reply(404, error_json("run_not_found", "x")));
  EXPECT_THAT(read(open()), ElementsAre("run_not_found/404"));
  server.on(route, reply(401, error_json("unauthorized", "x")));
  EXPECT_THAT(read(open()), ElementsAre("unauthorized/401"));
}

TEST_F(EventStreamTest, NoContentMeansThatTheRunHasEnded) {
  server.on(route, [](scripted::Connection& connection, const auto&) {
    connection.send("HTTP/1.1 204 No Content\r\n\r\n");
  });
  EXPECT_THAT(read(open({.after_seq = 9})), ElementsAre("end"));
  EXPECT_EQ(server.requests().at(0).header("last-event-id"), "9");
}

TEST_F(EventStreamTest, AServerOfOneBatchPerRequestIsReadToTheEnd) {
  server.on(route, event_stream({heartbeat}));
  server.on(route, event_stream({frame(1, "a")}));
  server.on(route, event_stream({frame(2, "run.completed"), frame(3, "sandbox.parked")}));
  server.on(run_route, reply(200, run_json("queued", 0)));
  EXPECT_THAT(read(open()), ElementsAre("1 a", "2 run.completed", "end"));
  EXPECT_EQ(server.requests(run_route).size(), 1u) << "the run is looked at only after an empty batch";
}

TEST_F(EventStreamTest, ARunThatEndedWithoutALastEventIsSeenFromTheRunItself) {
  server.on(route, event_stream({frame(1, "a")}));
  server.on(route, event_stream({heartbeat}));
  server.on(run_route, reply(200, run_json("cancelled", 2)));  // one event is still to come
  server.on(route, event_stream({frame(2, "b")}));
  server.on(route, event_stream({heartbeat}));
  server.on(run_route, reply(200, run_json("cancelled", 2)));
  EXPECT_THAT(read(open()), ElementsAre("1 a", "2 b", "end"));
}

TEST_F(EventStreamTest, AnUnknownRunBehindAnEmptyBatchIsARefusal) {
  server.on(route, event_stream({heartbeat}));
  server.on(run_route, reply(404, error_json("run_not_found", "x")));
  EXPECT_THAT(read(open()), ElementsAre("run_not_found/404"));
}

TEST_F(EventStreamTest, TroubleWhileLookingAtTheRunOnlyDelaysTheNextBatch) {
  server.on(route, event_stream({heartbeat}));
  server.on(run_route, reply(503, error_json("unavailable", "x")));
  server.on(route, event_stream({frame(1, "run.completed")}));
  EXPECT_THAT(read(open()), ElementsAre("1 run.completed", "end"));
}

TEST_F(EventStreamTest, ARunThatOutlastsItsTimeIsAWaitTimeout) {
  server.on(route, open_stream({frame(1, "a")}));
  server.on(run_route, reply(200, run_json("running", 1)));
  auto stream = open({.max_wait = 50ms});
  EXPECT_EQ(stream.next()->sequence, 1);
  try {
    static_cast<void>(stream.next());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "wait_timeout");
    EXPECT_EQ(error.details().dump(), R"({"runId":"run_1","status":"running"})");
    EXPECT_EQ(error.status(), 0);
  }
  EXPECT_TRUE(stream.done());
}

TEST_F(EventStreamTest, AnEndedRunIsReadToItsEndWhateverTheTime) {
  server.on(route, open_stream({frame(1, "a"), frame(2, "run.completed")}));
  server.on(run_route, reply(200, run_json("completed", 2)));
  EXPECT_THAT(read(open({.max_wait = 0ms})), ElementsAre("1 a", "2 run.completed", "end"));
}

TEST_F(EventStreamTest, ASilentConnectionIsReplaced) {
  server.on(route, open_stream({frame(1, "a")}));
  server.on(route, open_stream({frame(2, "run.completed")}));
  EXPECT_THAT(read(open({.idle_timeout = 50ms})), ElementsAre("1 a", "2 run.completed", "end"));
}

TEST_F(EventStreamTest, AServerThatStaysAwayIsGivenUp) {
  server.on(route, event_stream({frame(1, "a")}));
  server.on(route, [](scripted::Connection& connection, const auto&) { connection.reset(); });
  EXPECT_THAT(read(open({.give_up_after = 100ms})), ElementsAre("1 a", "network_error/0"));
  EXPECT_GT(server.requests().size(), 3u);
}

TEST_F(EventStreamTest, StopInterruptsTheWaitAndKeepsThePosition) {
  server.on(route, open_stream({frame(1, "a")}));
  std::stop_source stop;
  auto stream = open({.stop = stop.get_token()});
  EXPECT_EQ(stream.next()->sequence, 1);
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_THROW(static_cast<void>(stream.next()), Error);
  stopper.join();
  EXPECT_EQ(stream.last_sequence(), 1);
  EXPECT_TRUE(stream.done());
  EXPECT_FALSE(stream.next());
}

TEST_F(EventStreamTest, StopInterruptsThePauseBetweenConnections) {
  server.on(route, reply(503, error_json("unavailable", "x"), "retry-after: 3600\r\n"));
  std::stop_source stop;
  auto stream = open({.stop = stop.get_token()});
  EXPECT_FALSE(stream.next_for(20ms));
  EXPECT_FALSE(stream.done());
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_THROW(static_cast<void>(stream.next()), Error);
  stopper.join();
}

TEST_F(EventStreamTest, NextForComesBackWithoutAnEvent) {
  server.on(route, open_stream({frame(1, "a")}));
  auto stream = open();
  EXPECT_EQ(stream.next()->sequence, 1);
  EXPECT_FALSE(stream.next_for(5ms));
  EXPECT_FALSE(stream.next_for(0ms));
  EXPECT_FALSE(stream.done());
}

TEST_F(EventStreamTest, ItOutlivesItsClient) {
  server.on(route, open_stream({frame(1, "run.completed")}));
  auto stream = [&] { return Client({.base_url = server.url()}).stream_run("run_1"); }();
  EXPECT_EQ(stream.next()->sequence, 1);
}

TEST_F(EventStreamTest, LargeEventsArriveWhole) {
  const std::string text(8u << 20, 'x');
  server.on(route, open_stream({frame(1, "agent.response", "{\"text\":\"" + text + "\"}"),
                                frame(2, "run.completed")}));
  auto stream = open();
  EXPECT_EQ(stream.next()->payload["text"].as_string(), text);
}

}  // namespace
}  // namespace agentrouter
