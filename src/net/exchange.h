#pragma once
// What a handler sees of one request: its head at once, its body when asked for, and exactly one answer.
//
// A handler is called as soon as the head is parsed, before any byte of the body is read, so that it can
// refuse a caller without reading what the caller sends.
//
//   Task<void> MyHandler::handle(Exchange& exchange) {
//     if (!allowed(exchange.request())) {
//       co_await exchange.respond(refusal());
//       co_return;
//     }
//     auto body = co_await exchange.read_body();
//     ...
//   }

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/asio.h"
#include "base/error.h"
#include "net/http.h"

namespace agentrouter::net {

using base::Result;
using base::Task;

// A response whose body is written piece by piece. Belongs to its Exchange.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;

  // Sends `bytes`, which must live until it resumes. Resumes when the kernel has taken all of them, so a slow
  // peer slows the writer down (at most ServerOptions::send_buffer bytes wait in the kernel).
  // One at a time. False when nothing can be sent any more: the peer has gone, or it took nothing for
  // write_timeout.
  [[nodiscard]] virtual Task<bool> write(std::string_view bytes) = 0;

  // True when the handler should come to its end: the peer has gone, the server is stopping, or the request
  // was a HEAD and all that there is to send is sent. While the server is stopping, writes still go out.
  [[nodiscard]] virtual bool ended() const = 0;

  // `callback` runs once on the connection's executor when ended() becomes true, at once if it is already.
  // Replaces the one before; it is dropped when the handler returns. Use it to wake the handler.
  virtual void on_end(std::function<void()> callback) = 0;

  // Cuts the connection so that the peer sees an incomplete message. Without it a handler that returns
  // completes the message.
  virtual void abort() = 0;
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  [[nodiscard]] virtual const Request& request() const = 0;

  // Changes how many bytes of body this request may have. Before the first read only.
  virtual void limit_body(std::uint64_t bytes) = 0;
  // The whole body, "" when there is none. Answers `Expect: 100-continue`. At most once.
  //
  // Errors: exhausted (too large), invalid (broken framing), timeout, unavailable (the peer has gone).
  // After an error the connection closes behind the answer.
  [[nodiscard]] virtual Task<Result<std::string>> read_body() = 0;
  // The next piece of the body as it arrives, "" at its end. Errors: as read_body().
  [[nodiscard]] virtual Task<Result<std::string>> read_some() = 0;

  // `callback` runs once on the connection's executor when the peer has gone or the server is stopping while
  // the handler has not answered yet, at once if that is so already; it is dropped with the answer. For a
  // handler that waits for something else than the peer. Not before the whole body is read.
  virtual void on_gone(std::function<void()> callback) = 0;

  // Exactly one of the next three answers a request; a second one throws Failure(internal). When the peer has
  // gone they resume as if all was sent. A body that the handler left unread is drained if short, else the
  // connection closes behind the answer. In the answer to a HEAD only the head is sent.
  [[nodiscard]] virtual Task<void> respond(Response response) = 0;
  // Sends `head` at once. With a Content-Length in it exactly so many bytes must follow; without, the body is
  // chunked, or ends with the connection for an HTTP/1.0 peer. Never null; lives as long as the exchange.
  [[nodiscard]] virtual Task<StreamWriter*> start_stream(Response head) = 0;
  // Sends `size` bytes of the file `fd` (borrowed) from `offset`, in pieces of 64 KiB.
  // A file that turns out to be shorter cuts the connection.
  [[nodiscard]] virtual Task<void> send_file(Response head, int fd, std::uint64_t offset,
                                             std::uint64_t size) = 0;

  [[nodiscard]] virtual bool answered() const = 0;
};

class Handler {
 public:
  virtual ~Handler() = default;

  // Answers one request. Runs on the server's executor, for many connections at the same time, for one
  // connection one after the other. `exchange` lives until it returns.
  // Throwing, or returning without an answer, is a defect: it is logged and answered with 500.
  // Cancelled when the server's stop deadline passes.
  [[nodiscard]] virtual Task<void> handle(Exchange& exchange) = 0;
};

// The HTTP status for an error of read_body() and read_some(): 413, 400, 408.
[[nodiscard]] int status_of_body_error(const base::Error& error);

}  // namespace agentrouter::net
