// covers: src/net/request_parser.cpp src/net/head_guard.cpp
// Feeds one connection's bytes to the request parser, whole and in pieces: both ways must agree, nothing may be
// consumed twice, and no limit may be passed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/request_parser.h"

namespace {

using namespace agentrouter;

constexpr std::uint64_t body_limit = 200;
constexpr std::size_t head_limit = 512;

// What one connection of pipelined requests comes to, as text.
std::string read_requests(std::string_view wire, std::size_t piece) {
  std::string story;
  net::RequestParser parser(head_limit);
  std::string body;
  std::size_t begin = 0;
  for (std::size_t end = std::min(piece, wire.size()); begin < wire.size();) {
    const bool head = !parser.head_done();
    const auto bytes = wire.substr(begin, end - begin);
    auto used = head ? parser.feed_head(bytes) : parser.feed_body(bytes, body);
    if (!used) return story + std::to_string(used.error().status);
    AGENTROUTER_CHECK(*used <= bytes.size());
    begin += *used;
    if (head && parser.head_done()) {
      const net::Request& request = parser.request();
      AGENTROUTER_CHECK(request.headers.count("host") <= 1);
      story += request.method + " " + request.target + "\n";
      const auto limited = parser.limit_body(body_limit);
      if (!limited) return story + "413";
    }
    AGENTROUTER_CHECK(body.size() <= body_limit);
    if (parser.done()) {
      story += body + "\n";
      body.clear();
      parser.reset();
    } else if (*used == 0 || begin == end) {
      if (end == wire.size()) break;
      end = std::min(end + piece, wire.size());
    }
  }
  return story;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::size_t piece = 1 + data[0] % 40;
  const std::string_view wire(reinterpret_cast<const char*>(data) + 1, size - 1);
  AGENTROUTER_CHECK(read_requests(wire, SIZE_MAX / 2) == read_requests(wire, piece));
  return 0;
}
