#pragma once
// The HTTP/1.1 server: one accept loop and one coroutine per connection on one io_context. It frames, limits
// and times out; what a request means is the handler's (exchange.h).

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/asio.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"
#include "base/task_scope.h"
#include "net/exchange.h"

namespace agentrouter::net {

struct ServerOptions {
  std::size_t max_connections = 10'000;  // one more is answered 503 and closed
  std::size_t head_bytes = 16 * 1024;    // request line and fields; more is answered 431
  std::uint64_t body_bytes = 1 << 20;    // more makes read_body() fail
  int send_buffer = 64 * 1024;           // SO_SNDBUF: what a peer that does not read can pin in the kernel
  std::chrono::milliseconds head_timeout{
      10'000};  // from the first byte (or the connect) to the end of the head
  std::chrono::milliseconds body_timeout{60'000};   // the whole body; read_some(): one piece
  std::chrono::milliseconds idle_timeout{60'000};   // keep-alive between requests
  std::chrono::milliseconds write_timeout{60'000};  // a peer that takes nothing for so long is cut
  std::chrono::milliseconds linger_timeout{2'000};  // for the peer to read an answer that ends the connection
  const base::Clock* clock = &base::system_clock();  // for the Date field
};

// An answer that no handler gives: a request that cannot be parsed, a full server, a defect.
struct ServerError {
  int status = 500;
  std::string_view code;  // a stable word: bad_request, unavailable, internal_error
  std::string_view message;
  const Request* request = nullptr;  // null when there is none that can be trusted
};
// Renders it. What it is given dies with the call.
using ErrorReply = std::function<Response(const ServerError& error)>;

class Connection;

class Server {
 public:
  // `handler` outlives the server. Everything runs on `executor`, and so must every call.
  Server(base::Executor executor, Handler& handler, ErrorReply error_reply, ServerOptions options = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // stop() first, as TaskScope asks.
  ~Server();

  // Binds and accepts from now on. `host` is a numeric address or "localhost"; port 0 takes a free one.
  // May be called more than once. Returns the port. Errors: conflict (in use), denied, invalid (host).
  [[nodiscard]] Result<std::uint16_t> listen(const std::string& host, std::uint16_t port);
  // Accepts from a stream socket that already listens (TCP or unix).
  [[nodiscard]] Result<void> adopt(base::Fd listener);
  // Accepts whoever already waits at this socket, which is then closed.
  void accept_waiting(base::Fd listener);
  // Serves a connection that another server has left between two requests.
  void resume(base::Fd connection);

  // Serves one connection that somebody else has accepted, with their handler and replies, which outlive it. It
  // does not count as one of `max_connections`. Resumes when the connection is over, also when the task is
  // cancelled. All must have resumed before the server's end.
  [[nodiscard]] Task<void> serve_one(base::Fd socket, Handler& handler, const ErrorReply& error_reply);

  // For a server that goes on elsewhere: from now on who connects waits in the backlog of the listening sockets
  // that it gives. Call once, right before stop().
  [[nodiscard]] std::vector<base::Fd> leave();
  // After leave() and stop(): connections between two requests, of which nothing has been read. resume() of the
  // other server goes on with them.
  [[nodiscard]] std::vector<base::Fd> take_idle() { return std::move(idle_); }

  // Stops accepting, closes idle connections (or keeps them for take_idle()), lets requests in flight finish (their answers say
  // `Connection: close`), and tells streams to end. 200 ms before `deadline` nothing more is read of bodies that
  // are still on their way (unavailable, so that they are answered), and `last_call` is called if somebody is
  // left. At `deadline` the rest is cancelled and cut. Resumes when no connection is left. Call once.
  [[nodiscard]] Task<void> stop(base::Deadline deadline, std::function<void()> last_call = {});

  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

 private:
  friend class Connection;
  struct Listener;

  Task<void> accept_loop(Listener& listener);
  Task<void> wait_for_connections(base::Deadline end);
  enum class Admission { welcome, refused };
  Task<void> serve(std::unique_ptr<Connection> connection, Admission admission);
  void start(base::Fd fd, int family, std::string remote);
  std::unique_ptr<Connection> connection_on(base::Fd fd, int family, std::string remote, Handler& handler,
                                            const ErrorReply& error_reply);
  const std::string& date();

  base::Executor executor_;
  Handler& handler_;
  ErrorReply error_reply_;
  ServerOptions options_;
  std::list<Connection*> connections_;
  bool stopping_ = false;
  bool leaving_ = false;
  std::vector<base::Fd> idle_;  // that somebody else will serve
  std::int64_t date_second_ = 0;
  std::string date_;
  base::Event changed_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  base::TaskScope accepting_;
  base::TaskScope serving_;
};

}  // namespace agentrouter::net
