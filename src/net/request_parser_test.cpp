#include "net/request_parser.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace agentrouter::net {
namespace {

struct Outcome {
  int status = 0;  // 0 when it waits for more
  std::string body;
  std::size_t left = 0;
};

// Offers `wire` as a connection does, `piece` bytes at a time. 200 stands for a complete request.
Outcome parse(RequestParser& parser, std::string_view wire, std::size_t piece, std::uint64_t body_limit) {
  Outcome out;
  std::size_t begin = 0;
  for (std::size_t end = std::min(piece, wire.size());; end = std::min(end + piece, wire.size())) {
    for (;;) {
      const bool head = !parser.head_done();
      const auto bytes = wire.substr(begin, end - begin);
      auto used = head ? parser.feed_head(bytes) : parser.feed_body(bytes, out.body);
      if (!used) return {used.error().status, {}, 0};
      begin += *used;
      if (head && parser.head_done()) {
        const auto limited = parser.limit_body(body_limit);
        if (!limited) return {limited.error().status, {}, 0};
      }
      if (parser.done()) return {200, out.body, wire.size() - begin};
      if (*used == 0) break;
    }
    if (end == wire.size()) return out;
  }
}

Outcome parse(std::string_view wire, std::size_t piece = SIZE_MAX, std::uint64_t body_limit = 1000) {
  RequestParser parser(16 * 1024);
  return parse(parser, wire, piece, body_limit);
}

struct Case {
  std::string_view wire;
  int status;
};

constexpr std::string_view nul_in_value("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 38);
constexpr std::string_view nul_in_target("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 29);

// 0 means: waits for more, which the head timeout ends.
const Case cases[] = {
    // Framing.
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 4\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
     400},
    {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 400},
    // Chunks.
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", 200},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 0},
    // Host.
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1]:8787\r\n\r\n", 200},
    {"GET / HTTP/1.0\r\n\r\n", 200},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    // Lines and characters.
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\r\n\r\n", 200},
    {nul_in_value, 400},
    {nul_in_target, 400},
    {"\x16\x03\x01\x02", 400},  // a TLS hello
    {"GET / HTTP/1.1\r\nHost: a\r\n", 0},
    {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    // Request line.
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"GET / HTTX/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\r\nHost: a\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /?x=%zz HTTP/1.1\r\nHost: a\r\n\r\n", 200},
    {"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 200},
    {"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http://a:81/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 200},
    {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx", 200},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: the-worst\r\n\r\n", 417},
};

TEST(RequestParser, JudgesEveryRequestTheSameInPiecesOfAnySize) {
  for (const auto& [wire, status] : cases) {
    EXPECT_EQ(parse(wire).status, status) << wire;
    EXPECT_EQ(parse(wire, 1).status, status) << wire;
    EXPECT_EQ(parse(wire, 7).status, status) << wire;
  }
}

TEST(RequestParser, TakesApartTheTarget) {
  RequestParser parser;
  const std::string_view wire =
      "GET /v1/runs/a%2Fb/?afterSeq=1&afterSeq=2&q=x+y%20z HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a:  2 \r\n\r\n";
  ASSERT_EQ(parse(parser, wire, SIZE_MAX, 0).status, 200);
  const Request& request = parser.request();
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/v1/runs/a%2Fb/");
  EXPECT_EQ(request.segments, (std::vector<std::string>{"v1", "runs", "a/b", ""}));
  ASSERT_EQ(request.query.size(), 3u);
  EXPECT_EQ(request.query[1].value, "2");
  EXPECT_EQ(request.query_value("q"), "x y z");
  EXPECT_EQ(request.headers.count("X-A"), 2u);
  EXPECT_EQ(request.headers.get("x-a"), "1");
  EXPECT_TRUE(request.keep_alive);
}

TEST(RequestParser, KeepAliveFollowsTheVersionAndTheConnectionField) {
  const std::pair<std::string_view, bool> table[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
  };
  for (const auto& [wire, keeps] : table) {
    RequestParser parser;
    ASSERT_EQ(parse(parser, wire, SIZE_MAX, 0).status, 200);
    EXPECT_EQ(parser.request().keep_alive, keeps) << wire;
  }
}

TEST(RequestParser, LeavesTheNextRequestUntouched) {
  const std::string first =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
  const std::string second = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
  RequestParser parser;
  const auto outcome = parse(parser, first + second, SIZE_MAX, 100);
  EXPECT_EQ(outcome.status, 200);
  EXPECT_EQ(outcome.body, "abc");
  EXPECT_EQ(outcome.left, second.size());
  parser.reset();
  EXPECT_EQ(parse(parser, second, SIZE_MAX, 100).status, 200);
  EXPECT_EQ(parser.request().path, "/next");
}

TEST(RequestParser, AHeadOverItsLimitIs431) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const std::size_t limit = 16 * 1024;
  const std::string fits = head + std::string(limit - head.size() - 4, 'x') + "\r\n\r\n";
  const std::string over = head + std::string(limit - head.size() - 3, 'x') + "\r\n\r\n";
  EXPECT_EQ(parse(fits).status, 200);
  EXPECT_EQ(parse(fits, 100).status, 200);
  EXPECT_EQ(parse(over).status, 431);
  EXPECT_EQ(parse(over, 100).status, 431);
  EXPECT_EQ(parse("GET /" + std::string(limit, 'x')).status, 431);
}

TEST(RequestParser, ABodyOverItsLimitIs413) {
  const std::string sized = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
  const std::string chunked =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
  for (const auto& wire : {sized, chunked}) {
    EXPECT_EQ(parse(wire, 3, 4).status, 200);
    EXPECT_EQ(parse(wire, 3, 3).status, 413);
  }
}

TEST(RequestParser, FramingThatNeverEndsIsRefused) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(parse(head + std::string(9000, '0'), 100).status, 431);
  EXPECT_EQ(parse(head + "0\r\nX: " + std::string(9000, 'y'), 100).status, 431);
}

}  // namespace
}  // namespace agentrouter::net
