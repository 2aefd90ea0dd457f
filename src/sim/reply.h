#pragma once
// What goes into the simulated provider and what comes out: an HTTP request as plain values, and an answer
// as bytes with pauses between them. Whoever carries it (the egress of an attempt, `agentrouter sim`) waits,
// writes and frames; nothing here does I/O or looks at a clock.

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::sim {

struct Header {
  std::string name;  // lower case in replies
  std::string value;
};

// Views: they must live until `Simulator::handle` returns.
struct Call {
  std::string_view method;
  std::string_view target;  // path with its query
  std::span<const Header> headers;
  std::string_view body;  // complete, without transfer or content coding

  // The value of the first header of that name, compared without case; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

// Wait `delay`, then write `bytes` at once (flush them: a client's idle timer is fed by them).
struct Chunk {
  std::chrono::milliseconds delay{0};
  std::string bytes;
};

enum class Ending {
  complete,  // finish the body as its framing says
  cut,       // close the connection after the last chunk, without finishing the body
};

// `headers` name the content type, never the framing: use chunked coding for an event stream, and
// Content-Length (`body_size`) for the rest.
struct Reply {
  int status = 200;
  std::vector<Header> headers;
  std::vector<Chunk> chunks;
  Ending ending = Ending::complete;

  [[nodiscard]] bool is_event_stream() const;
  [[nodiscard]] std::size_t body_size() const;
  // All bytes, without the pauses.
  [[nodiscard]] std::string body() const;
};

}  // namespace agentrouter::sim
