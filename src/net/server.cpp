#include "net/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/log.h"
#include "net/alarm.h"
#include "net/connection.h"
#include "net/listener.h"

namespace agentrouter::net {

using boost::system::error_code;

namespace {

// Peers that are told 503 at the same time; beyond, they are closed without a word.
constexpr std::size_t max_refusals = 64;
constexpr std::chrono::milliseconds accept_pause{100};
// Before the deadline of stop(): for who is told that nothing more of its request is read.
constexpr std::chrono::milliseconds last_call_time{200};

struct Accepted {
  base::Fd socket;
  int error = 0;
  int family = AF_INET;
  std::string remote;
};

std::string name_of(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return std::string(text.data()) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return "[" + std::string(text.data()) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  return "unix";
}

Accepted accept_one(int listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  Accepted out;
  out.socket = base::Fd(
      ::accept4(listener, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  out.error = out.socket ? 0 : errno;
  if (out.socket) {
    out.family = address.ss_family;
    out.remote = name_of(address);
  }
  return out;
}

// The peer's affair, or nothing: the next try may do better. After anything else, a shortage above all,
// trying again at once would only spin.
bool is_passing(int error) {
  return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

}  // namespace

struct Server::Listener {
  Listener(base::Executor executor, int fd) : descriptor(executor, fd) {}
  asio::posix::basic_stream_descriptor<base::Executor> descriptor;
};

Server::Server(base::Executor executor, Handler& handler, ErrorReply error_reply, ServerOptions options)
    : executor_(executor),
      handler_(handler),
      error_reply_(std::move(error_reply)),
      options_(options),
      changed_(executor),
      accepting_(executor),
      serving_(executor) {}

Server::~Server() = default;

Result<std::uint16_t> Server::listen(const std::string& host, std::uint16_t port) {
  AGENTROUTER_TRY(auto fd, open_listener(host, port));
  AGENTROUTER_TRY(const auto bound, listener_address(fd.get()));
  if (auto adopted = adopt(std::move(fd)); !adopted) return tl::unexpected(std::move(adopted).error());
  return bound.port;
}

Result<void> Server::adopt(base::Fd listener) {
  if (auto known = listener_address(listener.get()); !known) return tl::unexpected(std::move(known).error());
  auto& added = *listeners_.emplace_back(std::make_unique<Listener>(executor_, listener.release()));
  added.descriptor.non_blocking(true);
  accepting_.spawn(accept_loop(added));
  return {};
}

void Server::accept_waiting(base::Fd listener) {
  const int flags = ::fcntl(listener.get(), F_GETFL);
  if (flags < 0 || ::fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) != 0) return;
  for (;;) {
    auto accepted = accept_one(listener.get());
    if (accepted.socket) {
      start(std::move(accepted.socket), accepted.family, std::move(accepted.remote));
    } else if (!is_passing(accepted.error)) {
      return;
    }
  }
}

void Server::resume(base::Fd connection) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  // A peer that has gone meanwhile is found out by reading.
  if (::getpeername(connection.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
  const int family = address.ss_family;
  start(std::move(connection), family, name_of(address));
}

Task<void> Server::accept_loop(Listener& listener) {
  while (listener.descriptor.is_open()) {
    auto accepted = accept_one(listener.descriptor.native_handle());
    if (accepted.socket) {
      start(std::move(accepted.socket), accepted.family, std::move(accepted.remote));
    } else if (accepted.error == EAGAIN) {
      error_code error;
      co_await listener.descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                              asio::redirect_error(base::use_task, error));
      if (error) co_return;
    } else if (!is_passing(accepted.error)) {
      base::log(base::LogLevel::warn, "cannot accept a connection",
                {{"error", std::strerror(accepted.error)}});
      co_await base::sleep_for(accept_pause);
    }
  }
}

// Null when the socket cannot be used.
std::unique_ptr<Connection> Server::connection_on(base::Fd fd, int family, std::string remote,
                                                  Handler& handler, const ErrorReply& error_reply) {
  const int on = 1;
  if (family != AF_UNIX) ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &options_.send_buffer, sizeof options_.send_buffer);
  Socket socket(executor_);
  error_code error;
  socket.assign(asio::generic::stream_protocol(family, 0), fd.get(), error);
  if (error) return nullptr;
  std::ignore = fd.release();
  socket.non_blocking(true, error);
  return std::make_unique<Connection>(*this, std::move(socket), std::move(remote), handler, error_reply);
}

void Server::start(base::Fd fd, int family, std::string remote) {
  const bool full = serving_.size() >= options_.max_connections;
  if (full && serving_.size() >= options_.max_connections + max_refusals) return;
  auto connection = connection_on(std::move(fd), family, std::move(remote), handler_, error_reply_);
  if (!connection) return;
  connections_.push_back(connection.get());
  serving_.spawn(serve(std::move(connection), full ? Admission::refused : Admission::welcome));
}

Task<void> Server::serve_one(base::Fd socket, Handler& handler, const ErrorReply& error_reply) {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  auto connection = connection_on(std::move(socket), family, {}, handler, error_reply);
  if (!connection) co_return;
  connections_.push_back(connection.get());
  co_await serve(std::move(connection), Admission::welcome);
}

Task<void> Server::serve(std::unique_ptr<Connection> connection, Admission admission) {
  try {
    if (admission == Admission::welcome) {
      co_await connection->run();
    } else {
      co_await connection->refuse();
    }
  } catch (const std::exception& error) {
    // Only the stop deadline gets here: a handler's own exceptions end in Connection.
    if (!stopping_) base::log(base::LogLevel::error, "a connection failed", {{"error", error.what()}});
  }
  connections_.remove(connection.get());
  connection.reset();
  changed_.notify();
}

std::vector<base::Fd> Server::leave() {
  leaving_ = true;
  std::vector<base::Fd> left;
  for (auto& listener : listeners_) left.emplace_back(listener->descriptor.release());
  return left;
}

Task<void> Server::wait_for_connections(base::Deadline end) {
  Alarm alarm(executor_, [this] { changed_.notify(); });
  alarm.set(end);
  while (!connections_.empty() && base::SteadyClock::now() < end) co_await changed_.wait();
}

Task<void> Server::stop(base::Deadline deadline, std::function<void()> last_call) {
  stopping_ = true;
  for (auto& listener : listeners_) {
    error_code ignored;
    if (listener->descriptor.is_open()) listener->descriptor.close(ignored);
  }
  co_await accepting_.cancel_and_join();
  for (auto* connection : connections_) connection->stop();
  co_await wait_for_connections(deadline - last_call_time);
  if (!connections_.empty() && last_call) last_call();
  for (auto* connection : connections_) connection->refuse_body();
  co_await wait_for_connections(deadline);
  co_await serving_.cancel_and_join();
}

const std::string& Server::date() {
  const auto now = std::chrono::floor<std::chrono::seconds>(options_.clock->now()).time_since_epoch().count();
  if (date_.empty() || now != date_second_) {
    date_second_ = now;
    date_ = http_date(now);
  }
  return date_;
}

int status_of_body_error(const base::Error& error) {
  if (error.code == base::Code::exhausted) return 413;
  return error.code == base::Code::timeout ? 408 : 400;
}

}  // namespace agentrouter::net
