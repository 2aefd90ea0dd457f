#include "sse.hpp"

#include <gtest/gtest.h>

#include <agentrouter/error.hpp>
#include <random>
#include <vector>

namespace agentrouter::detail {
namespace {

using namespace std::string_literals;

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

// Random documents, cut at random places, against the plain reading of the same lines.
TEST(Sse, AnyDocumentInAnyPiecesReadsAsItDoesWhole) {
  std::mt19937 random(20261124);
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  const std::vector<std::string> atoms = {"data", "id",  "event",        "retry", ":",         ": ",
                                          " ",    "1",   "x{}\"",        "\n",    "\r",        "\r\n",
                                          "\n\n", "\0"s, "\xef\xbb\xbf", "\xff",  "data: y\n", "heartbeat"};
  for (int round = 0; round < 3'000; ++round) {
    std::string text;
    for (auto n = below(40); n > 0; --n) text += atoms[below(atoms.size())];
    SseParser whole;
    whole.feed(text);
    const auto frames = all_frames(whole);
    SseParser pieces;
    std::string seen;
    for (std::size_t at = 0; at < text.size();) {
      const auto size = 1 + below(5);
      pieces.feed(std::string_view(text).substr(at, size));
      if (below(2) == 0) seen += all_frames(pieces);
      at += size;
    }
    ASSERT_EQ(seen + all_frames(pieces), frames) << testing::PrintToString(text);
    ASSERT_EQ(pieces.retry(), whole.retry());
  }
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
