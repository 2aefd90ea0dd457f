#include "net/connection.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/log.h"

namespace agentrouter::net {

using boost::system::error_code;

namespace {

constexpr std::size_t head_read_bytes = 4 * 1024;
constexpr std::size_t body_read_bytes = 16 * 1024;
// An unread body of up to this size is read and dropped so that the connection can be kept.
constexpr std::uint64_t drop_bytes = 64 * 1024;
// Of one connection too many: for it to say what it wants.
constexpr std::chrono::milliseconds refusal_timeout{500};

bool is_watch(const Request& request) {
  return request.path == "/healthz" || request.path == "/readyz";
}

}  // namespace

Connection::Connection(Server& server, Socket socket, std::string remote, Handler& handler,
                       const ErrorReply& error_reply)
    : server_(server),
      handler_(handler),
      error_reply_(error_reply),
      socket_(std::move(socket)),
      remote_(std::move(remote)),
      alarm_(server.executor_, [this] { socket_.cancel(); }) {}

base::Deadline Connection::in(std::chrono::milliseconds duration) const {
  return base::SteadyClock::now() + duration;
}

Task<void> Connection::run() {
  parser_.emplace(server_.options_.head_bytes);
  auto wait = server_.options_.head_timeout;
  for (;;) {
    const Next next = co_await read_head(in(wait));
    if (next == Next::close) break;
    if (next == Next::request) co_await serve_request();
    if (dead_) break;
    if (!keep_alive_ || server_.stopping_) {
      if (!parser_->done() || !in_.unread().empty()) {
        co_await linger();
      } else if (keep_alive_) {
        leave();
      }
      break;
    }
    parser_->reset();
    wait = server_.options_.idle_timeout;
  }
}

Task<void> Connection::refuse() {
  parser_.emplace(server_.options_.head_bytes);
  const Next next = co_await read_head(in(refusal_timeout));
  keep_alive_ = false;
  if (next == Next::request && is_watch(request())) co_await serve_request();
  if (next == Next::refused || answered_) {
    if (!dead_) co_await linger();
    co_return;
  }
  const ServerError error{503, "unavailable", "too many connections",
                          next == Next::request ? &request() : nullptr};
  Response response = error_reply_(error);
  response.headers.set("Retry-After", "1");
  if (head_into(response, response.body.size()) == BodyFraming::length) out_ += response.body;
  const bool sent = co_await send(out_);
  if (sent) co_await linger();
}

void Connection::stop() {
  if (idle_) socket_.cancel();
  if (streaming_ || held_) signal_end();
}

void Connection::refuse_body() {
  if (answered_) return;
  body_refused_ = true;
  if (in_body_) socket_.cancel();
}

Task<Connection::Filled> Connection::fill(base::Deadline deadline) {
  const auto space = in_.space(body_begun_ ? body_read_bytes : head_read_bytes);
  error_code error;
  alarm_.set(deadline);
  const auto size = co_await socket_.async_read_some(asio::buffer(space.data(), space.size()),
                                                     asio::redirect_error(base::use_task, error));
  alarm_.clear();
  if (!error) {
    in_.filled(size);
    co_return Filled::some;
  }
  if (alarm_.fired()) co_return Filled::timeout;
  co_return error == asio::error::operation_aborted ? Filled::cancelled : Filled::end;
}

Task<Connection::Next> Connection::read_head(base::Deadline first_byte) {
  base::Deadline deadline = first_byte;
  bool begun = false;
  keep_alive_ = true;
  body_begun_ = answered_ = streaming_ = held_ = ended_ = body_refused_ = false;
  for (;;) {
    if (!in_.unread().empty()) {
      auto used = parser_->feed_head(in_.unread());
      if (!used) {
        auto problem = std::move(used).error();
        co_await send_error(problem.status, "bad_request", std::move(problem.message));
        co_return Next::refused;
      }
      in_.consume(*used);
      if (parser_->head_done()) break;
      if (!begun) deadline = std::min(deadline, in(server_.options_.head_timeout));
      begun = true;
    }
    if (server_.stopping_ && !begun) {
      leave();
      co_return Next::close;
    }
    idle_ = !begun;
    const Filled filled = co_await fill(deadline);
    idle_ = false;
    if (filled == Filled::timeout && begun) {
      co_await send_error(408, "bad_request", "the request head took too long");
      co_return Next::refused;
    }
    if (filled == Filled::cancelled && !begun) leave();
    if (filled != Filled::some) co_return Next::close;
  }
  parser_->request().remote = remote_;
  keep_alive_ = parser_->request().keep_alive;
  body_limit_ = server_.options_.body_bytes;
  co_return Next::request;
}

// Nothing of a request has been read, so whoever gets the socket can serve it.
void Connection::leave() {
  if (!server_.leaving_) return;
  error_code error;
  const int fd = socket_.release(error);
  if (!error) server_.idle_.emplace_back(fd);
}

Task<void> Connection::serve_request() {
  std::string defect;
  try {
    co_await handler_.handle(*this);
  } catch (const std::exception& error) {
    defect = error.what();
    if (defect.empty()) defect = "an exception";
  }
  on_end_ = nullptr;
  if (held_) unwatch();
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    cut();
    co_return;
  }
  if (defect.empty() && !answered_ && !dead_) defect = "no answer";
  if (!defect.empty()) {
    co_await answer_defect(std::move(defect));
  } else if (streaming_) {
    co_await end_stream();
  }
  streaming_ = false;
  if (!dead_ && keep_alive_ && !parser_->done()) co_await drop_body();
}

Task<void> Connection::answer_defect(std::string defect) {
  base::log(base::LogLevel::error, "a request handler failed",
            {{"method", request().method}, {"path", request().path}, {"error", defect}});
  if (!answered_) {
    co_await send_error(500, "internal_error", "internal error");
  } else if (streaming_) {
    cut();
  }
}

Task<Result<void>> Connection::begin_body() {
  if (answered_) base::throw_failure(base::Code::internal, "cannot read a request body: already answered");
  if (body_begun_) co_return Result<void>();
  body_begun_ = true;
  auto limited = parser_->limit_body(body_limit_);
  if (!limited) {
    co_return body_failed({base::Code::exhausted, std::move(limited).error().message, "bad_request"});
  }
  if (!parser_->done() && parser_->expects_continue() && in_.unread().empty()) {
    const bool sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent)
      co_return body_failed({base::Code::unavailable, "cannot read a request body: the peer has gone"});
  }
  co_return Result<void>();
}

tl::unexpected<base::Error> Connection::body_failed(base::Error error) {
  keep_alive_ = false;
  return tl::unexpected<base::Error>(std::move(error));
}

// Appends what has arrived, waiting for something to arrive unless the body is done.
Task<Result<void>> Connection::more_body(std::string& body, base::Deadline deadline) {
  const auto before = body.size();
  while (!parser_->done() && body.size() == before) {
    auto used = parser_->feed_body(in_.unread(), body);
    if (!used) {
      const auto code = used.error().status == 413 ? base::Code::exhausted : base::Code::invalid;
      co_return body_failed({code, std::move(used).error().message, "bad_request"});
    }
    in_.consume(*used);
    if (parser_->done() || body.size() != before) break;
    Filled filled = Filled::cancelled;
    if (!body_refused_) {
      in_body_ = true;
      filled = co_await fill(deadline);
      in_body_ = false;
    }
    if (body_refused_ && filled != Filled::some)
      co_return body_failed({base::Code::unavailable, "the server is stopping: send the request again", "unavailable"});
    if (filled == Filled::timeout) {
      co_return body_failed({base::Code::timeout, "the request body took too long", "bad_request"});
    }
    if (filled != Filled::some) {
      co_return body_failed({base::Code::unavailable, "cannot read a request body: the peer has gone"});
    }
  }
  co_return Result<void>();
}

Task<Result<std::string>> Connection::read_body() {
  const base::Deadline deadline = in(server_.options_.body_timeout);
  std::string body;
  auto begun = co_await begin_body();
  if (!begun) co_return tl::unexpected(std::move(begun).error());
  body.reserve(std::min(parser_->content_length().value_or(0), drop_bytes));
  while (!parser_->done()) {
    auto more = co_await more_body(body, deadline);
    if (!more) co_return tl::unexpected(std::move(more).error());
  }
  co_return body;
}

Task<Result<std::string>> Connection::read_some() {
  std::string piece;
  auto begun = co_await begin_body();
  if (!begun) co_return tl::unexpected(std::move(begun).error());
  auto more = co_await more_body(piece, in(server_.options_.body_timeout));
  if (!more) co_return tl::unexpected(std::move(more).error());
  co_return piece;
}

// Reads what is left of a body that nobody wants, or gives the connection up.
Task<void> Connection::drop_body() {
  const base::Deadline deadline = in(server_.options_.linger_timeout);
  std::uint64_t dropped = 0;
  body_begun_ = true;
  while (!parser_->done() && keep_alive_) {
    std::string piece;
    auto more = co_await more_body(piece, deadline);
    dropped += piece.size();
    if (!more || dropped > drop_bytes) keep_alive_ = false;
  }
}

// Lets the peer read an answer before the connection goes: closing with unread bytes would reset it.
Task<void> Connection::linger() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  const base::Deadline deadline = in(server_.options_.linger_timeout);
  for (;;) {
    in_.consume(in_.unread().size());
    const Filled filled = co_await fill(deadline);
    if (filled != Filled::some || base::SteadyClock::now() >= deadline) break;
  }
}

void Connection::begin_answer() {
  if (answered_) base::throw_failure(base::Code::internal, "cannot answer a request twice");
  answered_ = true;
  if (held_) unwatch();
  // Whoever still waits for 100, or has much left to send, will not get it read.
  const bool unread = !parser_->done();
  if (unread &&
      ((parser_->expects_continue() && !body_begun_) || parser_->content_length().value_or(0) > drop_bytes)) {
    keep_alive_ = false;
  }
  if (server_.stopping_) keep_alive_ = false;
}

}  // namespace agentrouter::net
