#include "net/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/post.hpp>

#include "net/loopback_test.h"

namespace agentrouter::net {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char get[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr char last[] = "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

std::string post(std::string path, std::string fields, std::string body) {
  return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body;
}

Task<void> ask_twice(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  for (int round = 0; round < 2; ++round) {
    co_await peer->send(get);
    const auto head = co_await peer->head();
    EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
    EXPECT_THAT(head, HasSubstr("\r\nContent-Length: 6\r\n"));
    EXPECT_THAT(head, Not(HasSubstr("Connection:")));
    EXPECT_EQ(co_await peer->until("GET /a"), "GET /a");
  }
}
TEST(Server, KeepsAConnectionForTheNextRequest) {
  Loopback loopback;
  loopback.run(ask_twice(loopback));
}

Task<void> pipeline(Loopback& loopback) {
  std::string wire;
  for (int n = 0; n < 50; ++n) wire += "GET /" + std::to_string(n) + " HTTP/1.1\r\nHost: h\r\n\r\n";
  const auto all = co_await loopback.ask(wire + post("/echo", "Content-Length: 2\r\n", "ab") + last);
  std::size_t at = 0;
  for (int n = 0; n < 50; ++n) {
    at = all.find("GET /" + std::to_string(n), at);
    EXPECT_NE(at, std::string::npos) << n;
  }
  EXPECT_NE(all.find("[ab]", at), std::string::npos);
  EXPECT_THAT(all, EndsWith("GET /last"));
}
TEST(Server, AnswersPipelinedRequestsInOrder) {
  Loopback loopback;
  loopback.run(pipeline(loopback));
}

Task<void> head_requests(Loopback& loopback) {
  for (const std::string path : {"/a", "/stream", "/quiet", "/empty"}) {
    const auto all =
        co_await loopback.ask("HEAD " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(all, EndsWith("\r\n\r\n")) << path;
    EXPECT_THAT(all, path == "/a" ? HasSubstr("Content-Length: 7\r\n") : HasSubstr("HTTP/1.1 20")) << path;
  }
}
TEST(Server, HeadGetsTheHeadOnlyAndEndsStreamsAtOnce) {
  Loopback loopback;
  loopback.run(head_requests(loopback));
}

Task<void> close_behaviour(Loopback& loopback) {
  EXPECT_THAT(co_await loopback.ask(last), HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(co_await loopback.ask("GET / HTTP/1.0\r\n\r\n"), HasSubstr("Connection: close\r\n"));
  const auto kept =
      co_await loopback.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(kept, HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_THAT(kept, HasSubstr("Connection: close\r\n"));
  const auto none = co_await loopback.ask("GET /empty HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(none, Not(HasSubstr("Content-Length")));
  EXPECT_THAT(none, EndsWith("\r\n\r\n"));
}
TEST(Server, ClosesWhenTheVersionOrThePeerSaysSo) {
  Loopback loopback;
  loopback.run(close_behaviour(loopback));
}

Task<void> bodies(Loopback& loopback) {
  EXPECT_THAT(co_await loopback.ask(post("/echo", "Content-Length: 3\r\n", "abc") + last),
              HasSubstr("[abc]"));
  EXPECT_THAT(co_await loopback.ask(post("/echo", "", "") + last), HasSubstr("[]"));
  const auto chunked = post("/echo", "Transfer-Encoding: chunked\r\n",
                            "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: dropped\r\n\r\n");
  EXPECT_THAT(co_await loopback.ask(chunked + last), HasSubstr("[abcde]"));
}
TEST(Server, ReadsSizedAndChunkedBodies) {
  Loopback loopback;
  loopback.run(bodies(loopback));
}

Task<void> body_piece_by_piece(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  co_await peer->send(post("/pieces", "Content-Length: 4\r\n", ""));
  while (loopback.handler.calls == 0) co_await loopback.handler.changed.wait();
  co_await peer->send("ab");
  co_await loopback.handler.changed.wait();
  co_await peer->send("cd");
  EXPECT_THAT(co_await peer->until("<cd>"), EndsWith("<ab><cd>"));
}
TEST(Server, HandsABodyOnAsItArrives) {
  Loopback loopback;
  loopback.run(body_piece_by_piece(loopback));
}

Task<void> continue_first(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  co_await peer->send(post("/echo", "Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
  EXPECT_EQ(co_await peer->head(), "HTTP/1.1 100 Continue\r\n\r\n");
  co_await peer->send("abc");
  EXPECT_THAT(co_await peer->until("]"), EndsWith("[abc]"));
  // A body that is already there needs no invitation.
  co_await peer->send(post("/echo", "Expect: 100-continue\r\nContent-Length: 1\r\n", "x"));
  EXPECT_THAT(co_await peer->until("]"), StartsWith("HTTP/1.1 200"));
}
TEST(Server, InvitesABodyThatWaitsForIt) {
  Loopback loopback;
  loopback.run(continue_first(loopback));
}

Task<void> refused_before_the_body(Loopback& loopback) {
  // The handler answers although no byte of the body was sent.
  auto peer = co_await loopback.connect();
  co_await peer->send(post("/refuse", "Content-Length: 3\r\n", ""));
  EXPECT_THAT(co_await peer->until("no"), StartsWith("HTTP/1.1 401"));
  // Its body is short: it is dropped, and the connection goes on.
  co_await peer->send(std::string("abc") + last);
  EXPECT_THAT(co_await peer->rest(), HasSubstr("GET /last"));
  const auto waiting =
      co_await loopback.ask(post("/refuse", "Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
  EXPECT_THAT(waiting, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(waiting, HasSubstr("Connection: close\r\n"));
  const auto longer = co_await loopback.ask(
      post("/refuse", "Content-Length: 1000000\r\n", std::string(1'000'000, 'x')) + get);
  EXPECT_THAT(longer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(longer, EndsWith("no"));
}
TEST(Server, CanRefuseBeforeTheBodyIsRead) {
  Loopback loopback;
  loopback.run(refused_before_the_body(loopback));
}

Task<void> bad_bodies(Loopback& loopback) {
  const auto large = co_await loopback.ask(post("/echo", "Content-Length: 101\r\n", ""));
  EXPECT_THAT(large, StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(large, HasSubstr("Connection: close\r\n"));
  const auto chunks =
      post("/echo", "Transfer-Encoding: chunked\r\n", "60\r\n" + std::string(96, 'x') + "\r\n60\r\n");
  EXPECT_THAT(co_await loopback.ask(chunks), StartsWith("HTTP/1.1 413"));
  const auto broken = co_await loopback.ask(post("/echo", "Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"));
  EXPECT_THAT(broken, StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(broken, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(co_await loopback.ask(post("/echo", "Content-Length: 3\r\n", "ab")),
              StartsWith("HTTP/1.1 408"));
}
TEST(Server, BodiesTooLargeBrokenOrTooSlowAreTheHandlersToAnswer) {
  Loopback loopback({.body_bytes = 100, .body_timeout = 30ms, .linger_timeout = 30ms});
  loopback.run(bad_bodies(loopback));
}

Task<void> bad_heads(Loopback& loopback) {
  const auto bad = co_await loopback.ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(bad, StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(bad, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(bad, EndsWith("bad_request: the request has no Host"));
  const std::string much = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(20'000, 'x');
  EXPECT_THAT(co_await loopback.ask(much), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(co_await loopback.ask(std::string(get) + "nonsense\r\n\r\n"), HasSubstr("HTTP/1.1 400"));
  EXPECT_EQ(loopback.handler.calls, 1);
}
TEST(Server, WhatCannotBeParsedIsAnsweredInTheOwnersWordsAndClosed) {
  Loopback loopback({.linger_timeout = 30ms});
  loopback.run(bad_heads(loopback));
}

Task<void> slow_heads(Loopback& loopback) {
  EXPECT_EQ(co_await loopback.ask(""), "");
  EXPECT_THAT(co_await loopback.ask("GET / HT"), StartsWith("HTTP/1.1 408"));
  const auto second = co_await loopback.ask(std::string(get) + "GET /");
  EXPECT_THAT(second, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(second, HasSubstr("HTTP/1.1 408"));
}
TEST(Server, AHeadThatComesTooSlowlyIs408AndSilenceIsClosed) {
  Loopback loopback({.head_timeout = 30ms, .linger_timeout = 30ms});
  loopback.run(slow_heads(loopback));
}

Task<void> read_all(Peer& peer, std::string& answer) {
  answer = co_await peer.rest();
}

Task<void> dripped_head(Loopback& loopback) {
  auto peer = co_await loopback.connect();
  // Every byte comes in time, the head as a whole does not.
  std::string answer;
  base::TaskScope scope(co_await base::this_executor);
  scope.spawn(read_all(*peer, answer));
  const auto begin = base::SteadyClock::now();
  for (int n = 0; answer.empty() && base::SteadyClock::now() - begin < 10s; ++n) {
    try {
      co_await peer->send(n == 0 ? "GET /" : "a");
    } catch (const base::Failure&) {
      break;
    }
    base::Event pause(co_await base::this_executor);
    std::ignore = co_await pause.wait_until(base::SteadyClock::now() + 5ms);
  }
  co_await scope.join();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 408"));
}
TEST(Server, AHeadThatDripsInIsHeldToOneDeadline) {
  Loopback loopback({.head_timeout = 50ms, .linger_timeout = 30ms});
  loopback.run(dripped_head(loopback));
}

Task<void> idle(Loopback& loopback) {
  EXPECT_THAT(co_await loopback.ask(get), EndsWith("GET /a"));
}
TEST(Server, AnIdleConnectionIsClosedAfterItsTime) {
  Loopback loopback({.idle_timeout = 30ms});
  loopback.run(idle(loopback));
}

Task<void> too_many(Loopback& loopback) {
  auto first = co_await loopback.connect();
  co_await first->send(get);
  co_await first->until("GET /a");
  const auto refused = co_await loopback.ask(get);
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(refused, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(refused, EndsWith("unavailable: too many connections"));
  first->leave();
  while (loopback.server.connections() > 0) {
    base::Event turn(co_await base::this_executor);
    std::ignore = co_await turn.wait_until(base::SteadyClock::now() + 1ms);
  }
  EXPECT_THAT(co_await loopback.ask(last), StartsWith("HTTP/1.1 200"));
}
TEST(Server, OneConnectionOverTheLimitIs503) {
  Loopback loopback({.max_connections = 1, .linger_timeout = 30ms});
  loopback.run(too_many(loopback));
}

Task<void> watched(Loopback& loopback) {
  auto first = co_await loopback.connect();
  co_await first->send(get);
  co_await first->until("GET /a");
  const auto health = co_await loopback.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(health, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(health, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(health, EndsWith("GET /healthz"));
  auto silent = co_await loopback.connect();
  EXPECT_THAT(co_await silent->head(), StartsWith("HTTP/1.1 503")) << "who says nothing is not waited for";
  EXPECT_THAT(co_await loopback.ask("NONSENSE\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}
TEST(Server, AFullServerIsWatchedAllTheSame) {
  Loopback loopback({.max_connections = 1, .linger_timeout = 30ms});
  loopback.run(watched(loopback));
}

Task<void> defects(Loopback& loopback) {
  for (const std::string path : {"/throws", "/silent"}) {
    const auto all = co_await loopback.ask("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n" + last);
    EXPECT_THAT(all, StartsWith("HTTP/1.1 500")) << path;
    EXPECT_THAT(all, HasSubstr("internal_error: internal error")) << path;
    EXPECT_THAT(all, Not(HasSubstr("secret"))) << path;
    EXPECT_THAT(all, EndsWith("GET /last")) << path;
  }
}
TEST(Server, AHandlerThatFailsIs500AndTheConnectionGoesOn) {
  Loopback loopback;
  loopback.run(defects(loopback));
}

// Lets the io_context look for events several times.
Task<void> turns() {
  for (int n = 0; n < 100; ++n) co_await asio::post(base::use_task);
}

Task<void> no_descriptors(Loopback& loopback) {
  rlimit before{};
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit tight = before;
  {
    const base::Fd next(::dup(0));
    tight.rlim_cur = static_cast<rlim_t>(next.get()) + 1;  // one more descriptor: the peer's own
  }
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  auto peer = co_await loopback.connect();
  co_await peer->send(get);
  co_await turns();
  EXPECT_EQ(loopback.server.connections(), 0u);
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(co_await peer->head(), StartsWith("HTTP/1.1 200"));
}
TEST(Server, OutOfDescriptorsItWaitsAndGoesOn) {
  Loopback loopback;
  loopback.run(no_descriptors(loopback));
}

Task<void> bad_listeners(Loopback& loopback) {
  EXPECT_EQ(loopback.server.listen("127.0.0.1", loopback.port).error().code, base::Code::conflict);
  EXPECT_EQ(loopback.server.listen("example.com", 0).error().code, base::Code::invalid);
  EXPECT_EQ(loopback.server.adopt(base::Fd()).error().code, base::Code::invalid);
  EXPECT_TRUE(loopback.server.listen("localhost", 0));
  co_return;
}
TEST(Server, SaysWhyItCannotListen) {
  Loopback loopback;
  loopback.run(bad_listeners(loopback));
}

}  // namespace
}  // namespace agentrouter::net
