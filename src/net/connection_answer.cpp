// The sending half of Connection.
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <charconv>

#include "base/log.h"
#include "net/connection.h"

namespace agentrouter::net {

using boost::system::error_code;

namespace {

constexpr std::size_t piece_bytes = 64 * 1024;

}  // namespace

// Shared with the wait for readability, which may outlive the connection.
struct Connection::Watch {
  Connection* owner = nullptr;
  bool pending = false;
};

Connection::~Connection() {
  if (watch_) watch_->owner = nullptr;
}

// Writes the head of `response` to out_. `length` is the body's, nullopt when it is not known.
BodyFraming Connection::head_into(const Response& response, std::optional<std::uint64_t> length) {
  HeadFacts facts;
  facts.minor_version = parser_ && parser_->head_done() ? request().minor_version : 1;
  if (!may_have_body(response.status)) {
    facts.framing = BodyFraming::none;
  } else if (length) {
    facts.framing = BodyFraming::length;
    facts.length = *length;
  } else if (facts.minor_version == 1) {
    facts.framing = BodyFraming::chunked;
  } else {
    facts.framing = BodyFraming::close;
    keep_alive_ = false;
  }
  facts.keep_alive = keep_alive_;
  facts.date = server_.date();
  out_.clear();
  append_response_head(out_, response, facts);
  const bool head_only = parser_ && parser_->head_done() && request().is_head();
  return head_only ? BodyFraming::none : facts.framing;
}

Task<bool> Connection::send(std::string_view bytes) {
  while (!bytes.empty() && !dead_) {
    error_code error;
    const auto size = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), error);
    if (!error) {
      bytes.remove_prefix(size);
    } else if (error == asio::error::would_block || error == asio::error::try_again) {
      alarm_.set(in(server_.options_.write_timeout));
      co_await socket_.async_wait(Socket::wait_write, asio::redirect_error(base::use_task, error));
      alarm_.clear();
      if (error) cut();
    } else if (error != asio::error::interrupted) {
      cut();
    }
  }
  co_return !dead_;
}

Task<void> Connection::send_error(int status, std::string code, std::string message) {
  // After a head that could not be parsed nothing on this connection can be trusted.
  if (!parser_->head_done()) keep_alive_ = false;
  answered_ = true;
  const ServerError error{status, code, message, parser_->head_done() ? &request() : nullptr};
  const Response response = error_reply_(error);
  if (head_into(response, response.body.size()) == BodyFraming::length) out_ += response.body;
  co_await send(out_);
}

Task<void> Connection::respond(Response response) {
  begin_answer();
  const auto framing = head_into(response, response.body.size());
  const bool joined = framing == BodyFraming::length && response.body.size() <= piece_bytes;
  if (joined) out_ += response.body;
  co_await send(out_);
  if (framing == BodyFraming::length && !joined) co_await send(response.body);
}

Task<StreamWriter*> Connection::start_stream(Response head) {
  begin_answer();
  std::optional<std::uint64_t> length;
  if (const auto text = head.headers.find("content-length")) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != text->data() + text->size()) {
      base::throw_failure(base::Code::internal, "cannot start a stream: a Content-Length that is no number");
    }
    length = value;
  }
  framing_ = head_into(head, length);
  length_left_ = length.value_or(0);
  streaming_ = true;
  co_await send(out_);
  in_.shrink();
  out_ = {};
  if (dead_ || server_.stopping_ || framing_ == BodyFraming::none) ended_ = true;
  if (!ended_) watch();
  co_return static_cast<StreamWriter*>(this);
}

Task<bool> Connection::write(std::string_view bytes) {
  while (!bytes.empty() && !dead_ && framing_ != BodyFraming::none) {
    const auto piece = bytes.substr(0, piece_bytes);
    bytes.remove_prefix(piece.size());
    if (framing_ == BodyFraming::chunked) {
      std::array<char, 20> size{};
      const auto end = std::to_chars(size.data(), size.data() + size.size(), piece.size(), 16).ptr;
      out_.assign(size.data(), end).append("\r\n").append(piece).append("\r\n");
      co_await send(out_);
    } else if (framing_ == BodyFraming::length && piece.size() > length_left_) {
      base::log(base::LogLevel::error, "a stream is longer than its Content-Length",
                {{"path", request().path}});
      cut();
    } else {
      length_left_ -= framing_ == BodyFraming::length ? piece.size() : 0;
      co_await send(piece);
    }
  }
  if (out_.capacity() > piece_bytes / 4) out_ = {};
  co_return !dead_;
}

Task<void> Connection::end_stream() {
  if (watch_) watch_->owner = nullptr;
  if (framing_ == BodyFraming::chunked) {
    co_await send("0\r\n\r\n");
  } else if (framing_ == BodyFraming::length && length_left_ > 0) {
    cut();
  }
  if (server_.stopping_) keep_alive_ = false;
}

Task<void> Connection::send_file(Response head, int fd, std::uint64_t offset, std::uint64_t size) {
  begin_answer();
  const auto framing = head_into(head, size);
  bool good = co_await send(out_);
  if (framing == BodyFraming::none) co_return;
  std::string piece;
  while (good && size > 0) {
    piece.resize(std::min<std::uint64_t>(size, piece_bytes));
    const auto got = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      base::log(base::LogLevel::error, "a file ended early while it was sent", {{"path", request().path}});
      cut();
      co_return;
    }
    offset += static_cast<std::uint64_t>(got);
    size -= static_cast<std::uint64_t>(got);
    good = co_await send(std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
  }
}

void Connection::on_end(std::function<void()> callback) {
  if (ended_) {
    if (callback) callback();
  } else {
    on_end_ = std::move(callback);
  }
}

void Connection::on_gone(std::function<void()> callback) {
  if (!callback) {
    on_end_ = nullptr;
    return;
  }
  if (answered_ || !parser_->done())
    base::throw_failure(base::Code::internal, "cannot watch a peer before its request is read");
  held_ = true;
  if (server_.stopping_) ended_ = true;
  on_end(std::move(callback));
  if (!dead_) watch();
}

void Connection::unwatch() {
  held_ = false;
  on_end_ = nullptr;
  if (watch_) watch_->owner = nullptr;
}

// While a stream is open nothing else reads, so a peer that leaves would go unnoticed until the next write.
void Connection::watch() {
  if (!watch_) watch_ = std::make_shared<Watch>();
  watch_->owner = this;
  if (watch_->pending) return;
  watch_->pending = true;
  socket_.async_wait(Socket::wait_read, [watch = watch_](error_code error) {
    watch->pending = false;
    if (watch->owner != nullptr) watch->owner->on_readable(error.failed());
  });
}

void Connection::on_readable(bool failed) {
  const auto space = in_.space(1024);
  error_code error;
  const auto size = failed ? 0 : socket_.read_some(asio::buffer(space.data(), space.size()), error);
  if (failed || (error && error != asio::error::would_block && error != asio::error::interrupted)) {
    cut();
    return;
  }
  in_.filled(size);
  // A peer that sends so much ahead is no longer watched; it is noticed at the next write.
  if (in_.unread().size() < server_.options_.head_bytes) watch();
}

void Connection::signal_end() {
  if (std::exchange(ended_, true)) return;
  if (on_end_) std::exchange(on_end_, nullptr)();
}

void Connection::cut() {
  if (std::exchange(dead_, true)) return;
  keep_alive_ = false;
  error_code ignored;
  socket_.cancel(ignored);
  socket_.shutdown(Socket::shutdown_both, ignored);
  signal_end();
}

}  // namespace agentrouter::net
