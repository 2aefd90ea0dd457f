#include "net/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/loopback_test.h"

namespace agentrouter::net {
namespace {

using base::Code;
using testing::HasSubstr;

struct Read {
  std::string outcome;  // "done", "waiting" or the error's code
  int status = 0;
  std::string body;
  std::size_t left = 0;
  bool keep_alive = false;
};

Read read(std::string_view wire, bool ends = false, std::size_t piece = SIZE_MAX,
          Answers answers = Answers::other, ResponseLimits limits = {.head_bytes = 1000, .body_bytes = 20}) {
  ResponseParser parser(answers, limits);
  Read out;
  std::size_t at = 0;
  while (at < wire.size() && !parser.done()) {
    const auto bytes = wire.substr(at, piece);
    auto used = parser.feed(bytes, out.body);
    if (!used) return {std::string(to_string(used.error().code)), 0, {}, 0, false};
    EXPECT_TRUE(*used == bytes.size() || parser.done());
    at += *used;
  }
  if (ends) {
    auto finished = parser.finish();
    if (!finished) return {std::string(to_string(finished.error().code)), 0, {}, 0, false};
  }
  out.outcome = parser.done() ? "done" : "waiting";
  out.status = parser.head_done() ? parser.head().status : 0;
  out.left = wire.size() - at;
  out.keep_alive = parser.keep_alive();
  return out;
}

struct ResponseCase {
  std::string_view wire;
  bool ends;
  std::string_view outcome;
  std::string_view body = "";
};

const ResponseCase response_cases[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, "done", "abc"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", false, "waiting", "ab"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true, "unavailable"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "done"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", false,
     "done", "abcde"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", false, "done",
     "abc"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true, "unavailable"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", false, "invalid"},
    {"HTTP/1.1 200 OK\r\n\r\nabc", false, "waiting", "abc"},
    {"HTTP/1.1 200 OK\r\n\r\nabc", true, "done", "abc"},
    {"HTTP/1.1 200 OK\r\n\r\n", true, "done"},
    {"HTTP/1.0 200 OK\r\n\r\nabc", true, "done", "abc"},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, "done"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, "done"},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 204 x\r\n\r\n", false,
     "done"},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, "invalid"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, "invalid"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", false, "invalid"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", false, "invalid"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false, "invalid"},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, "invalid"},
    {"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", false, "invalid"},
    {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, "invalid"},
    {"HTTP/2.0 200 OK\r\n\r\n", false, "invalid"},
    {"HTTP/1.1 20 OK\r\n\r\n", false, "invalid"},
    {"SSH-2.0-OpenSSH_9.2\r\n\r\n", false, "invalid"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n", false, "exhausted"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n123456789012345678901\r\n", false,
     "exhausted"},
    {"HTTP/1.1 200 OK\r\n\r\n123456789012345678901", false, "exhausted"},
    {"HTTP/1.1 200 OK\r\n", true, "unavailable"},
    {"", true, "unavailable"},
};

TEST(ResponseParser, JudgesEveryResponseTheSameInPiecesOfAnySize) {
  for (const auto& test : response_cases) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t{1}, std::size_t{7}}) {
      const auto got = read(test.wire, test.ends, piece);
      EXPECT_EQ(got.outcome, test.outcome) << test.wire;
      EXPECT_EQ(got.body, test.body) << test.wire;
    }
  }
}

TEST(ResponseParser, TheAnswerToAHeadHasNoBody) {
  const auto got = read("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", false, SIZE_MAX, Answers::head);
  EXPECT_EQ(got.outcome, "done");
  EXPECT_TRUE(got.keep_alive);
}

TEST(ResponseParser, SaysWhetherTheConnectionCanBeKept) {
  EXPECT_TRUE(read("HTTP/1.1 204 x\r\n\r\n").keep_alive);
  EXPECT_FALSE(read("HTTP/1.1 204 x\r\nConnection: close\r\n\r\n").keep_alive);
  EXPECT_FALSE(read("HTTP/1.0 204 x\r\n\r\n").keep_alive);
  EXPECT_FALSE(read("HTTP/1.1 200 x\r\n\r\nabc", true).keep_alive);
  EXPECT_EQ(read("HTTP/1.1 204 x\r\n\r\nHTTP/1.1 204 x\r\n\r\n").left, 18u);
}

TEST(ResponseParser, AHeadOverItsLimitIsAnError) {
  const std::string head = "HTTP/1.1 204 x\r\nX: " + std::string(2000, 'x');
  EXPECT_EQ(read(head).outcome, "exhausted");
  EXPECT_EQ(read(head, false, 10).outcome, "exhausted");
}

TEST(ResponseParser, ALastPieceOfAChunkIsNotHeldBack) {
  ResponseParser parser;
  std::string body;
  ASSERT_TRUE(parser.feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: x", body));
  EXPECT_EQ(body, "data: x");
  ASSERT_TRUE(parser.feed("\n", body));
  EXPECT_EQ(body, "data: x\n");
  ASSERT_TRUE(parser.feed("\n", body));
  EXPECT_EQ(body, "data: x\n\n");
}

TEST(RequestHead, AnnouncesItsBodyAndCannotBeSplit) {
  const ClientRequest post{.method = "POST", .target = "/x", .headers = {{"Host", "h"}}, .body = "abc"};
  EXPECT_EQ(request_head(post), "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(request_head({.headers = {{"Host", "h"}}}), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THROW(std::ignore = request_head({.target = "/ HTTP/1.1\r\nX: y"}), base::Failure);
  EXPECT_THROW(std::ignore = request_head({.headers = {{"X", "a\nb"}}}), base::Failure);
}

Task<ClientConnection> open(Loopback& loopback, ResponseLimits limits = {}) {
  auto stream = co_await connect_tcp("127.0.0.1", loopback.port, soon());
  co_return ClientConnection(base::value_or_throw(std::move(stream)), limits);
}

ClientRequest to(std::string method, std::string target, std::string body = {}) {
  return {.method = std::move(method),
          .target = std::move(target),
          .headers = {{"Host", "h"}},
          .body = std::move(body)};
}

Task<void> several(Loopback& loopback) {
  auto client = co_await open(loopback);
  for (const std::string size : {"", "x", "yy"}) {
    auto head = co_await client.send(to("POST", "/echo", size), soon());
    EXPECT_EQ(base::value_or_throw(std::move(head)).status, 200);
    EXPECT_FALSE(client.reusable() && size.empty());
    auto body = co_await client.read_body(100, soon());
    EXPECT_EQ(base::value_or_throw(std::move(body)), "[" + size + "]");
    EXPECT_TRUE(client.reusable());
  }
  std::ignore = base::value_or_throw(co_await client.send(to("HEAD", "/a"), soon()));
  EXPECT_TRUE(client.reusable());
  std::ignore = base::value_or_throw(co_await client.send(to("GET", "/stream"), soon()));
  EXPECT_EQ(base::value_or_throw(co_await client.read_body(100, soon())), "onetwo");
  EXPECT_TRUE(client.reusable());
}
TEST(ClientConnection, CarriesOneRequestAfterTheOther) {
  Loopback loopback;
  loopback.run(several(loopback));
}

Task<void> failures(Loopback& loopback) {
  auto limited = co_await open(loopback);
  std::ignore = base::value_or_throw(co_await limited.send(to("GET", "/stream"), soon()));
  EXPECT_EQ((co_await limited.read_body(5, soon())).error().code, Code::exhausted);
  auto cut = co_await open(loopback);
  std::ignore = base::value_or_throw(co_await cut.send(to("GET", "/short"), soon()));
  EXPECT_EQ((co_await cut.read_body(100, soon())).error().code, Code::unavailable);
  EXPECT_FALSE(cut.reusable());
  auto slow = co_await open(loopback);
  EXPECT_EQ((co_await slow.send(to("GET", "/hold"), base::SteadyClock::now() + 20ms)).error().code,
            Code::timeout);
  auto early = co_await open(loopback);
  auto head = co_await early.send(to("POST", "/refuse", std::string(8 << 20, 'x')), soon());
  EXPECT_EQ(base::value_or_throw(std::move(head)).status, 401);
  loopback.handler.release();
}
TEST(ClientConnection, NamesWhatWentWrong) {
  Loopback loopback;
  loopback.run(failures(loopback));
}

}  // namespace
}  // namespace agentrouter::net
