#include "sse.hpp"

#include <gtest/gtest.h>

#include <agentrouter/error.hpp>

namespace agentrouter::detail {
namespace {

std::string all_frames(SseParser& parser) {
  std::string text;
  while (const auto frame = parser.next()) text += frame->id + "|" + frame->event + "|" + frame->data + ";";
  return text;
}

const std::string document =
    "\xef\xbb\xbfretry: 1000\n: hello\n\nid: 1\nevent: a\ndata: x\ndata:  y\n\nid:2\rdata\r\rdata:z\r\n\r\n"
    "event: none\n\nid: 3\ndata: cut";
const std::string expected = "1|a|x\n y;2|message|;2|message|z;";

TEST(Sse, ReadsEveryFormThatTheStandardAllows) {
  SseParser parser;
  parser.feed(document);
  EXPECT_EQ(all_frames(parser), expected);
  EXPECT_EQ(parser.retry(), std::chrono::milliseconds(1000));
}

TEST(Sse, PiecesMayEndAnywhere) {
  for (std::size_t cut = 0; cut <= document.size(); ++cut) {
    SseParser parser;
    parser.feed(document.substr(0, cut));
    parser.feed(document.substr(cut));
    EXPECT_EQ(all_frames(parser), expected) << cut;
  }
  SseParser parser;
  for (const char c : document) parser.feed({&c, 1});
  EXPECT_EQ(all_frames(parser), expected);
}

TEST(Sse, AFrameThatTheEndCutIsForgottenAtTheNextConnection) {
  SseParser parser;
  parser.feed("retry: 5\nid: 1\ndata: half");
  parser.reset();
  parser.feed("data: whole\n\n");
  EXPECT_EQ(all_frames(parser), "|message|whole;");
  EXPECT_EQ(parser.retry(), std::chrono::milliseconds(5));
}

TEST(Sse, WrongRetryIsIgnored) {
  SseParser parser;
  parser.feed("retry: 1s\nretry: -1\nretry: 99999999999999\nretry:\n\n");
  EXPECT_FALSE(parser.retry());
}

TEST(Sse, AFrameBeyondTheLimitIsRefused) {
  SseParser parser;
  const std::string piece(8u << 20, 'x');
  EXPECT_THROW(
      {
        for (int i = 0; i < 9; ++i) parser.feed(piece);
      },
      Error);
}

}  // namespace
}  // namespace agentrouter::detail
