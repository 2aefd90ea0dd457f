#pragma once
// For tests of net: a Server on a free loopback port, a handler with one behaviour per path, and a peer that
// sends and expects raw bytes. No test waits for time to pass; each waits for an effect.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "net/server.h"
#include "net/stream.h"

namespace agentrouter::net {

using namespace std::chrono_literals;

inline base::Deadline soon() {
  return base::SteadyClock::now() + 20s;
}

// What a peer does and sees, byte by byte.
class Peer {
 public:
  explicit Peer(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}

  Task<void> send(std::string bytes);
  // Up to and with `end`. Throws when the connection ends before.
  Task<std::string> until(std::string end);
  Task<std::string> head() { return until("\r\n\r\n"); }
  // Everything up to the end of the connection, however that comes.
  Task<std::string> rest();
  void leave() { stream_->close(); }

 private:
  Task<bool> fill();

  std::unique_ptr<Stream> stream_;
  std::string seen_;
};

// One behaviour per path; counts what it saw.
class Behaviours final : public Handler {
 public:
  explicit Behaviours(base::Executor executor) : changed(executor), released_(executor) {}

  Task<void> handle(Exchange& exchange) override;

  void release() {
    released = true;
    released_.notify();
  }

  base::Event changed;  // after each of the following changes
  int calls = 0;
  int streams = 0;
  int ends = 0;    // streams whose writer reported the end
  int passed = 0;  // endless writes that went through
  int cancelled = 0;
  bool released = false;
  int file = -1;
  std::uint64_t file_size = 0;

 private:
  Task<void> echo(Exchange& exchange);
  Task<void> pieces(Exchange& exchange);
  Task<void> stream(Exchange& exchange);
  Task<void> quiet(Exchange& exchange);
  Task<void> endless(Exchange& exchange);
  Task<void> hold(Exchange& exchange);

  base::Event released_;
};

class Loopback {
 public:
  explicit Loopback(ServerOptions options = {});

  // Runs `task` and then stops the server. Rethrows what the task throws.
  void run(Task<void> task, std::chrono::milliseconds stop_time = 10s);
  Task<std::unique_ptr<Peer>> connect();
  // One request on a connection of its own; everything that comes back until the server closes it.
  Task<std::string> ask(std::string wire);

  asio::io_context io{1};
  Behaviours handler{io.get_executor()};
  Server server;
  std::uint16_t port = 0;

 private:
  Task<void> run_and_stop(Task<void> task, std::chrono::milliseconds stop_time);
};

}  // namespace agentrouter::net
