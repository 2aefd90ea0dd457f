#include "net/incoming.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>

#include "net/socket_stream.h"

namespace agentrouter::net {

using boost::system::error_code;

namespace {

constexpr std::size_t read_at_once = 4096;

}  // namespace

Incoming::Incoming(base::Executor executor, base::Fd fd) : socket_(executor) {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &family, &size);
  const int on = 1;
  if (family != AF_UNIX) ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  socket_.assign(asio::generic::stream_protocol(family, 0), fd.release());
  error_code ignored;
  socket_.non_blocking(true, ignored);
}

asio::ip::address Incoming::destination() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const int fd = const_cast<Accepted&>(socket_).native_handle();
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.ss_family != AF_INET)
    return {};
  return asio::ip::address_v4(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
}

Task<Result<void>> Incoming::readable(base::Deadline deadline) {
  error_code error;
  Alarm alarm(co_await base::this_executor, [this] { socket_.cancel(); });
  alarm.set(deadline);
  co_await socket_.async_wait(Accepted::wait_read, asio::redirect_error(base::use_task, error));
  if (error) co_return stream_error("cannot read from a connection", error, alarm.fired());
  co_return Result<void>();
}

Task<Result<unsigned char>> Incoming::first_byte(base::Deadline deadline) {
  for (;;) {
    auto ready = co_await readable(deadline);
    if (!ready) co_return tl::unexpected(std::move(ready).error());
    unsigned char byte = 0;
    const auto got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 1) co_return byte;
    if (got < 0 && errno == EAGAIN) continue;
    co_return base::fail(base::Code::unavailable, "cannot read from a connection: the peer has gone");
  }
}

Task<Result<void>> Incoming::read_more(base::Deadline deadline) {
  auto ready = co_await readable(deadline);
  if (!ready) co_return ready;
  std::array<char, read_at_once> piece;
  const auto got = ::recv(socket_.native_handle(), piece.data(), piece.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) co_return Result<void>();
  if (got <= 0) co_return base::fail(base::Code::unavailable, "cannot read from a connection: the peer has gone");
  begun_.append(piece.data(), static_cast<std::size_t>(got));
  co_return Result<void>();
}

Task<bool> Incoming::left() {
  auto what = Accepted::wait_read;
  while (!settled_) {
    error_code error;
    co_await socket_.async_wait(what, asio::redirect_error(base::use_task, error));
    if (error) continue;
    char byte = 0;
    const auto got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) co_return true;
    // Its next bytes wait here, so only a broken connection tells more.
    if (got > 0) what = Accepted::wait_error;
  }
  co_return false;
}

void Incoming::settle() {
  settled_ = true;
  error_code ignored;
  socket_.cancel(ignored);
}

void Incoming::refuse(std::string_view word) {
  error_code ignored;
  const int fd = socket_.native_handle();
  const auto sent = word.empty() ? -1 : ::send(fd, word.data(), word.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

base::Fd Incoming::release() {
  error_code error;
  const int fd = socket_.release(error);
  return base::Fd(error ? -1 : fd);
}

}  // namespace agentrouter::net
