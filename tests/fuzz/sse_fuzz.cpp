// covers: src/net/sse.cpp
// Server-sent events from arbitrary bytes: in pieces of any size the same events come out, none over the limit, and what is written
// from an event is read as that event.
#include <algorithm>
#include <string>
#include <vector>

#include "bytes_file.h"
#include "require.h"
#include "net/sse.h"

using namespace agentrouter;

namespace {

constexpr std::size_t most_bytes = 300;

struct Read {
  std::vector<net::SseEvent> events;
  bool whole = true;
};

Read read_events(std::string_view wire, std::size_t piece) {
  Read read;
  net::SseParser parser(most_bytes);
  for (std::size_t at = 0; at < wire.size() && read.whole; at += piece) {
    read.whole = parser.feed(wire.substr(at, piece), [&](const auto& event) { read.events.push_back(event); }).has_value();
  }
  return read;
}

bool same(const net::SseEvent& a, const net::SseEvent& b) {
  return a.id == b.id && a.event == b.event && a.data == b.data;
}


}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto wire = bytes_of(data + 1, size - 1);
  const auto whole = read_events(wire, wire.size() + 1);
  const auto pieces = read_events(wire, 1 + data[0] % 13);
  require(whole.whole == pieces.whole && std::equal(whole.events.begin(), whole.events.end(), pieces.events.begin(), pieces.events.end(), same));
  for (const auto& event : whole.events) {
    require(event.data.size() <= most_bytes && event.event.size() <= most_bytes);
    std::string out = net::sse_retry(1000);
    net::append_sse(out, {.id = 7, .event = event.event, .data = event.data});
    const auto again = read_events(out, out.size());
    if (!again.whole) continue;  // with its id it is over the limit
    require(again.events.size() == 1 && again.events[0].data == event.data && again.events[0].event == event.event && again.events[0].id == "7");
  }
  return 0;
}
