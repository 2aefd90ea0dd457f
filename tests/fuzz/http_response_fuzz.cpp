// covers: src/net/client.cpp src/net/head_guard.cpp
// Feeds an answer's bytes to the response parser, whole and in pieces: both ways must agree, nothing may be consumed twice, and no
// limit may be passed. The first byte says how large the pieces are, the second whether a HEAD is answered.
#include <string>

#include "base/error.h"
#include "bytes_file.h"
#include "net/client.h"
#include "require.h"

using namespace agentrouter;

namespace {

constexpr std::uint64_t body_limit = 200;
constexpr std::size_t head_limit = 512;

std::string read_response(std::string_view wire, net::Answers answers, std::size_t piece) {
  net::ResponseParser parser(answers, {.head_bytes = head_limit, .body_bytes = body_limit});
  std::string body;
  std::size_t at = 0;
  while (at < wire.size() && !parser.done()) {
    const auto used = parser.feed(wire.substr(at, piece), body);
    if (!used) return std::string(base::to_string(used.error().code));
    require(*used > 0 && body.size() <= body_limit);
    at += *used;
  }
  const bool finished = parser.finish().has_value();
  std::string story = (finished ? "done " : "cut ") + std::to_string(at) + " " + body;
  if (!parser.head_done()) return story;
  if (answers == net::Answers::head) require(body.empty());
  const bool has_body = answers == net::Answers::other && parser.head().status == 200;
  if (finished && has_body && parser.content_length()) require(*parser.content_length() == body.size());
  return story + " " + std::to_string(parser.head().status) + (finished && parser.keep_alive() ? " again" : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto wire = bytes_of(data + 2, size - 2);
  const auto answers = data[1] & 1 ? net::Answers::head : net::Answers::other;
  require(read_response(wire, answers, SIZE_MAX / 2) == read_response(wire, answers, 1 + data[0] % 40));
  // A request that holds a line end or another control character is never written.
  const auto line = wire.substr(0, wire.find('\n'));
  try {
    const auto head = net::request_head({.method = "GET", .target = "/" + line, .headers = {}, .body = {}});
    require(head.find('\n') == head.size() - 3);
  } catch (const base::Failure&) {
  }
  return 0;
}
