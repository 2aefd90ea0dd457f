#include "net/http.h"

#include <gtest/gtest.h>

#include "net/response_head.h"
#include "net/sse.h"
#include "net/url.h"

namespace agentrouter::net {
namespace {

using base::Code;

TEST(Headers, NamesCompareWithoutCaseAndTheFirstFieldWins) {
  Headers headers{{"Accept", "a"}, {"ACCEPT", "b"}, {"Connection", "keep-alive , Close"}};
  EXPECT_EQ(headers.get("accept"), "a");
  EXPECT_EQ(headers.count("accept"), 2u);
  EXPECT_TRUE(headers.has_token("connection", "close"));
  EXPECT_FALSE(headers.has_token("connection", "clos"));
  headers.set("accept", "c");
  EXPECT_EQ(headers.count("Accept"), 1u);
  EXPECT_FALSE(headers.find("missing"));
}

TEST(PercentEncoding, RoundTripsEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_encode("a/b c~"), "a%2Fb%20c~");
}

TEST(PercentEncoding, BrokenEscapesAreRefused) {
  for (const char* bad : {"%", "%4", "%zz", "a%4", "%-1"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(Query, KeepsOrderAndRepeatsAndLeavesBrokenEscapesAlone) {
  const auto items = parse_query("a=1&b&a=%32+x&&c=%zz&=v");
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(items[0].value, "1");
  EXPECT_EQ(items[1].key, "b");
  EXPECT_EQ(items[2].value, "2 x");
  EXPECT_EQ(items[3].value, "%zz");
  EXPECT_EQ(items[4].key, "");
}

TEST(HttpDate, IsTheFormOfRfc9110) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(1795527503), "Tue, 24 Nov 2026 13:38:23 GMT");
}

TEST(ResponseHead, ValuesCannotBeginALineOfTheirOwn) {
  std::string out;
  const Response response{.status = 200, .headers = {{"X", "a\r\nSet-Cookie: b"}, {"Bad name", "c"}}};
  append_response_head(out, response, {.length = 0, .date = "D"});
  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nDate: D\r\nX: a  Set-Cookie: b\r\nContent-Length: 0\r\n\r\n");
}

TEST(ResponseHead, FramingFieldsAreTheServers) {
  std::string out;
  const Response response{
      .headers = {{"content-length", "9"}, {"Transfer-Encoding", "gzip"}, {"connection", "x"}}};
  append_response_head(out, response, {.framing = BodyFraming::chunked, .keep_alive = false, .date = "D"});
  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nDate: D\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
}

TEST(Url, TakesApartWhatIsUnambiguous) {
  const auto url = base::value_or_throw(parse_url("HTTPS://API.OpenAI.com/v1?x=1"));
  EXPECT_EQ(url.scheme, Scheme::https);
  EXPECT_EQ(url.host, "api.openai.com");
  EXPECT_EQ(url.port, 443);
  EXPECT_EQ(url.target(), "/v1?x=1");
  EXPECT_EQ(url.authority(), "api.openai.com");
  const auto plain = base::value_or_throw(parse_url("http://[::1]:8080"));
  EXPECT_EQ(plain.host, "::1");
  EXPECT_EQ(plain.path, "/");
  EXPECT_EQ(plain.authority(), "[::1]:8080");
}

TEST(Url, RefusesWhatTwoParsersCouldReadDifferently) {
  for (const char* bad : {"",
                          "api.openai.com",
                          "ftp://a/",
                          "http://",
                          "http:///x",
                          "http://u@h/",
                          "http://u:p@h/",
                          "http://h:0/",
                          "http://h:65536/",
                          "http://h:/",
                          "http://h:+1/",
                          "http://h /",
                          "http://h/a b",
                          "http://h/#f",
                          "http://h\\x/",
                          "http://[::1/",
                          "http://[zz]/",
                          "http://h:80:80/",
                          "http://-h/",
                          "http://a..b/",
                          "http://h/%zz",
                          "http://h/\xc3\xa9",
                          "http://h/\r\nX: y"}) {
    const auto url = parse_url(bad);
    ASSERT_FALSE(url) << bad;
    EXPECT_EQ(url.error().code, Code::invalid) << bad;
  }
}

TEST(Sse, FramesEndWithLineFeedsOnly) {
  std::string out;
  append_sse(out, {.id = 7, .event = "run.claimed", .data = "{\"a\":1}"});
  EXPECT_EQ(out, "id: 7\nevent: run.claimed\ndata: {\"a\":1}\n\n");
  out.clear();
  append_sse(out, {.event = "heartbeat", .data = "{}"});
  EXPECT_EQ(out, "event: heartbeat\ndata: {}\n\n");
  EXPECT_EQ(sse_retry(1000), "retry: 1000\n\n");
}

TEST(Sse, DataCannotForgeAFieldOrAFrame) {
  std::string out;
  append_sse(out, {.data = "a\n\nid: 9\rb"});
  EXPECT_EQ(out, "data: a\ndata: \ndata: id: 9\ndata: b\n\n");
}

std::vector<std::string> read_events(std::string_view text, std::size_t piece,
                                     SseParser parser = SseParser()) {
  std::vector<std::string> seen;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    const auto fed = parser.feed(text.substr(at, piece), [&](const SseEvent& event) {
      seen.push_back(event.id + "|" + event.event + "|" + event.data);
    });
    if (!fed) seen.push_back("error");
  }
  return seen;
}

TEST(Sse, IsReadTheSameInPiecesOfAnySizeAndWithAnyLineEnd) {
  const std::string text =
      "\xef\xbb\xbf: hello\n\nretry: 5\n\nid: 1\r\nevent: a\r\ndata: x\r\ndata:y\r\n\r\ndata\r\revent: "
      "lost\n\n"
      "event: b\ndata:  z\n\ndata: cut";
  const std::vector<std::string> expected{"1|a|x\ny", "1||", "1|b| z"};
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_EQ(read_events(text, piece), expected) << piece;
}

TEST(Sse, AFrameOverTheLimitIsAnError) {
  const std::string text = "data: 0123456789\ndata: 0123456789\n\n";
  EXPECT_EQ(read_events(text, 8, SseParser(100)).size(), 1u);
  EXPECT_EQ(read_events(text, 8, SseParser(20)).front(), "error");
}

}  // namespace
}  // namespace agentrouter::net
